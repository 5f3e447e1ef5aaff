//! One conversation: prompt to stream of events; knows no device.
