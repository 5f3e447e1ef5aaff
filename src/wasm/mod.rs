//! The edge: JavaScript values in and out.
