//! The device: which adapter, what it can do, pipelines by variant, and reading results back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use futures_channel::oneshot;

use super::clock::Clock;
use super::kernels::WORKGROUP;
use super::kernels::guess::GUESSES;
use super::shader::{Defines, expand};
use super::state::SLOTS;
use crate::error::{Error, ErrorKind, Result};

/// An opened device. Clones share it.
#[derive(Clone)]
pub struct Device {
    pub(super) raw: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// The adapter's name and driver, as far as the platform tells.
    pub description: String,
    /// A CPU pretending to be a GPU: kernels without barriers are chosen for it.
    pub software: bool,
    /// The kernels to run where there is a choice.
    pub(super) variant: Variant,
    /// Shaders go to a browser: they must name what they use beyond the core.
    in_browser: bool,
    /// Shaders check their indices and bound their loops.
    checks: bool,
    /// There where it was asked for and the adapter has one.
    clock: Option<Rc<Clock>>,
    pipelines: Rc<RefCell<HashMap<String, wgpu::ComputePipeline>>>,
    /// Read-back buffers that are free again, by size.
    spare: Rc<RefCell<HashMap<usize, Vec<wgpu::Buffer>>>>,
    /// The first failure that no call was there to receive.
    failure: Arc<Mutex<Option<Error>>>,
    _memory: Rc<Memory>,
}

/// Kernels of which an adapter may be faster with one or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Lanes add up by subgroup operations instead of through workgroup memory.
    pub subgroups: bool,
    /// Threads of a workgroup of a matrix product: a power of two, at least a team.
    pub workgroup: u32,
    /// What a prefill multiplies quantised weights in; every other choice leaves all bits as they are.
    pub numbers: Numbers,
}

/// What the products of a prefill are made of, see `kernels/matmul/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// f32.
    F32,
    /// Pairs of f16, for which an adapter needs `shader-f16`.
    F16,
    /// The weights' integers and two of 8 bits for each activation, four products at a time.
    Integers,
}

impl Numbers {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Integers];

    /// What the kernels call them.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Integers => "integers",
        }
    }
}

impl Default for Variant {
    /// What runs everywhere.
    fn default() -> Self {
        Self { subgroups: false, workgroup: WORKGROUP, numbers: Numbers::F32 }
    }
}

/// Gives back all the device's memory with its last clone, and does not wait for a garbage collector.
struct Memory(wgpu::Device);

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.destroy();
    }
}

/// A compute pipeline, its bound resources and its grid: everything static about one dispatch.
pub struct Dispatch {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bindings: wgpu::BindGroup,
    pub(super) grid: [u32; 3],
    /// The axis of the grid that grows with the step's tokens, and how many one workgroup takes.
    pub(super) tokens: Option<(usize, u32)>,
}

impl Dispatch {
    /// The same dispatch, its grid's `axis` growing by one workgroup for every `each` tokens of a step.
    pub(super) fn for_tokens(mut self, axis: usize, each: u32) -> Self {
        self.tokens = Some((axis, each));
        self
    }
}

/// What a kernel binds at which number.
pub type Binding<'a> = (u32, wgpu::BindingResource<'a>);

impl Device {
    /// Opens the best adapter. A software adapter is taken only when `accept_software`;
    /// otherwise, and where there is none at all, the failure is `webgpu-unavailable`. With `timestamps` its work is timed by
    /// its own clock, where it has one.
    pub async fn open(accept_software: bool, timestamps: bool) -> Result<Self> {
        let unavailable = |what: String| {
            Error::new(ErrorKind::WebgpuUnavailable, what)
                .hint("use device 'cpu', or a browser and driver with WebGPU enabled")
        };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|error| unavailable(format!("no WebGPU adapter was found: {error}")))?;
        let info = adapter.get_info();
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let description = [info.name.as_str(), info.driver.as_str(), info.driver_info.as_str()]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        if software && !accept_software {
            return Err(unavailable(format!("the only WebGPU adapter is software ({description})")));
        }
        let clock = if timestamps { wgpu::Features::TIMESTAMP_QUERY } else { wgpu::Features::empty() };
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: adapter.limits(),
            // In a browser the page asks for subgroups: wgpu does not know them there.
            required_features: adapter.features() & (wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16 | clock),
            ..wgpu::DeviceDescriptor::default()
        };
        let (raw, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| unavailable(format!("the WebGPU adapter gave no device: {error}")))?;
        let failure = Arc::new(Mutex::new(None));
        let report = {
            let failure = Arc::clone(&failure);
            move |error: Error| {
                if let Ok(mut failure) = failure.lock() {
                    failure.get_or_insert(error);
                }
            }
        };
        raw.set_device_lost_callback({
            let report = report.clone();
            move |_, reason| report(lost(&reason))
        });
        raw.on_uncaptured_error(Arc::new(move |error| report(device_error(error))));
        let clock = raw.features().contains(wgpu::Features::TIMESTAMP_QUERY).then(|| Rc::new(Clock::new(&raw, &queue)));
        let _memory = Rc::new(Memory(raw.clone()));
        let (pipelines, spare) = (Rc::default(), Rc::default());
        let in_browser = info.backend == wgpu::Backend::BrowserWebGpu;
        let variant = Variant::default();
        let checks = true;
        Ok(Self {
            raw,
            queue,
            description,
            software,
            variant,
            in_browser,
            checks,
            clock,
            pipelines,
            spare,
            failure,
            _memory,
        })
    }

    /// Whether the device's work is timed.
    pub fn tells_time(&self) -> bool {
        self.clock.is_some()
    }

    /// The limits the device was opened with.
    pub fn limits(&self) -> wgpu::Limits {
        self.raw.limits()
    }

    /// The same device, treated as software or as hardware whatever it is: for tests of both sets of kernels.
    #[must_use]
    pub fn treat_as_software(mut self, software: bool) -> Self {
        self.software = software;
        self
    }

    /// The same device, whose shaders neither check indices nor bound loops, which no browser allows: to measure what that costs.
    #[must_use]
    pub fn without_checks(mut self) -> Self {
        self.checks = false;
        self.pipelines = Rc::default();
        self
    }

    /// The kernels that were chosen, as a text for [`super::tuned`].
    pub fn variant(&self) -> String {
        self.variant.to_string()
    }

    /// The same device with other kernels.
    #[must_use]
    pub(super) fn with_variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// Whether its shaders may compute in these.
    pub(super) fn has(&self, numbers: Numbers) -> bool {
        numbers != Numbers::F16 || self.raw.features().contains(wgpu::Features::SHADER_F16)
    }

    /// Lanes that share a row of `blocks` blocks: a power of two, 1 where barriers are dear.
    pub(super) fn team(&self, blocks: usize) -> u32 {
        if self.software { 1 } else { blocks.next_power_of_two().min(32) as u32 }
    }

    /// A storage buffer of zeros.
    pub(super) fn storage(&self, label: &str, bytes: usize) -> wgpu::Buffer {
        self.raw.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.next_multiple_of(16) as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }

    /// A storage buffer that holds `data`.
    pub(super) fn storage_of<T: bytemuck::NoUninit>(&self, label: &str, data: &[T]) -> wgpu::Buffer {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.storage(label, bytes.len());
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// The pipeline of a kernel's variant, built once.
    pub(super) fn pipeline(&self, kernel: &str, defines: Defines) -> Result<wgpu::ComputePipeline> {
        let defines = defines.or("ADVANCES", 0).or("PREFILL", 0).or("SUBGROUPS", 0).or("LAST", 0);
        let defines = defines.set("SLOTS", SLOTS).set("GUESSES", GUESSES);
        let source = expand(kernel, &defines.flag("IN_BROWSER", self.in_browser))?;
        if let Some(pipeline) = self.pipelines.borrow().get(&source) {
            return Ok(pipeline.clone());
        }
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(kernel),
            source: wgpu::ShaderSource::Wgsl(source.as_str().into()),
        };
        let module = if self.checks {
            self.raw.create_shader_module(descriptor)
        } else {
            let checks = wgpu::ShaderRuntimeChecks::unchecked();
            // SAFETY: the kernels are this package's own, index within what is bound to them, and end.
            unsafe { self.raw.create_shader_module_trusted(descriptor, checks) }
        };
        let pipeline = self.raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        self.pipelines.borrow_mut().insert(source, pipeline.clone());
        Ok(pipeline)
    }

    /// A dispatch of a kernel's variant over static bindings.
    pub(super) fn dispatch(
        &self,
        kernel: &str,
        defines: Defines,
        bindings: &[Binding],
        grid: [u32; 3],
    ) -> Result<Dispatch> {
        let pipeline = self.pipeline(kernel, defines)?;
        let entries: Vec<_> = bindings
            .iter()
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding: *binding, resource: resource.clone() })
            .collect();
        let bindings = self.raw.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Ok(Dispatch { pipeline, bindings, grid, tokens: None })
    }

    /// Runs `work` with validation and memory errors caught: the first becomes the result's error.
    pub(super) async fn checked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let memory = self.raw.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.raw.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        let validation = validation.pop().await;
        let memory = memory.pop().await;
        if let Some(error) = memory.or(validation) {
            return Err(device_error(error));
        }
        result
    }

    /// Encodes the dispatches of a step of `tokens` tokens into one compute pass.
    pub(super) fn encode<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tokens: u32,
        dispatches: impl IntoIterator<Item = &'a Dispatch>,
    ) {
        self.encode_each(encoder, dispatches.into_iter().map(|dispatch| (dispatch, tokens)));
    }

    /// The same, where each dispatch has its own number of tokens.
    pub(super) fn encode_each<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        dispatches: impl Iterator<Item = (&'a Dispatch, u32)>,
    ) {
        let timestamp_writes = self.clock.as_ref().and_then(|clock| clock.writes());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
        for (dispatch, tokens) in dispatches {
            let mut grid = dispatch.grid;
            if let Some((axis, each)) = dispatch.tokens {
                grid[axis] = tokens.div_ceil(each);
            }
            let [x, y, z] = grid;
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bindings, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// Copies `bytes` of `source` into a buffer that the CPU can map, as part of `encoder`, and the times of all passes since
    /// the last such copy behind them.
    pub(super) fn stage(&self, encoder: &mut wgpu::CommandEncoder, source: &wgpu::Buffer, bytes: usize) -> Staged {
        let size = bytes + self.clock.as_ref().map_or(0, |clock| clock.bytes());
        let spare = self.spare.borrow_mut().get_mut(&size).and_then(Vec::pop);
        let buffer = spare.unwrap_or_else(|| {
            self.raw.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size: size as u64,
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            })
        });
        encoder.copy_buffer_to_buffer(source, 0, &buffer, 0, bytes as u64);
        if let Some(clock) = &self.clock {
            clock.stage(encoder, &buffer, bytes);
        }
        Staged { buffer, bytes }
    }

    /// Submits, and asks for the staged bytes.
    pub(super) fn submit(&self, encoder: wgpu::CommandEncoder, staged: Staged) -> Readback {
        let submission = self.queue.submit([encoder.finish()]);
        let (sender, receiver) = oneshot::channel();
        staged.buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when the result is no longer wanted.
            let _ = sender.send(result);
        });
        Readback { staged, submission, receiver }
    }

    /// The bytes of a submitted copy, once the device has made it.
    pub(super) async fn read(&self, readback: Readback) -> Result<Vec<u8>> {
        Ok(self.read_timed(readback).await?.0)
    }

    /// The same, and the milliseconds that the passes since the copy before it have taken, where the device tells time.
    pub(super) async fn read_timed(&self, readback: Readback) -> Result<(Vec<u8>, Option<f64>)> {
        let wait = wgpu::PollType::Wait { submission_index: Some(readback.submission), timeout: None };
        self.raw.poll(wait).map_err(|error| lost(&error.to_string()))?;
        match readback.receiver.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(lost(&error.to_string())),
            Err(_) => return Err(lost("a read-back was dropped")),
        }
        if let Some(error) = self.failure.lock().ok().and_then(|failure| failure.clone()) {
            return Err(error);
        }
        let Staged { buffer, bytes } = readback.staged;
        let view = buffer.get_mapped_range(..).map_err(|error| lost(&error.to_string()))?;
        let (data, ticks) = view.split_at(bytes);
        let (data, milliseconds) = (data.to_vec(), self.clock.as_ref().map(|clock| clock.milliseconds(ticks)));
        drop(view);
        buffer.unmap();
        self.spare.borrow_mut().entry(buffer.size() as usize).or_default().push(buffer);
        Ok((data, milliseconds))
    }

    /// Reads a whole buffer.
    pub(super) async fn read_buffer(&self, buffer: &wgpu::Buffer, bytes: usize) -> Result<Vec<u8>> {
        let mut encoder = self.encoder();
        let staged = self.stage(&mut encoder, buffer, bytes);
        let readback = self.submit(encoder, staged);
        self.read(readback).await
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }
}

fn lost(reason: &str) -> Error {
    Error::new(ErrorKind::DeviceLost, format!("the device went away: {reason}")).hint("load the model again")
}

fn device_error(error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => {
            Error::new(ErrorKind::OutOfMemory, format!("the device has no room left: {source}"))
                .hint("choose a smaller contextLength or a smaller quantisation")
        }
        error => Error::internal(format!("the device refused a kernel or a buffer: {error}")),
    }
}

/// A copy on its way to the CPU, not yet submitted.
pub struct Staged {
    buffer: wgpu::Buffer,
    /// Of the copy; the times are behind it.
    bytes: usize,
}

/// A submitted copy.
pub struct Readback {
    staged: Staged,
    submission: wgpu::SubmissionIndex,
    receiver: oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}
