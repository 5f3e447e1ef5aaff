//! What the device itself can do, to judge decode by: how fast it copies, and what launching kernels costs.

use web_time::Instant;

use super::device::Device;
use super::shader::Defines;
use crate::error::Result;

/// Bytes of a copy: more than caches hold.
const COPY_BYTES: u64 = 256 << 20;
/// Seconds of a submit, by which the way to the device matters little.
const SUBMIT_SECONDS: f64 = 0.1;
/// Submits of which the fastest counts.
const ROUNDS: usize = 5;

/// Bytes a second that the device moves, reading and writing, while it copies one buffer to another.
pub async fn copy_rate(device: &Device) -> Result<f64> {
    let bytes = COPY_BYTES.min(device.limits().max_storage_buffer_binding_size);
    let room = || Ok([device.storage("copied", bytes as usize), device.storage("copy", bytes as usize)]);
    let [from, to] = device.checked(room).await?;
    let seconds = seconds_each(device, &to, |encoder| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes)).await?;
    from.destroy();
    to.destroy();
    Ok(2.0 * bytes as f64 / seconds)
}

/// Seconds that so many empty dispatches of one compute pass take, each waiting for the one before, as those of a token do.
pub async fn empty_dispatches(device: &Device, count: usize) -> Result<f64> {
    let buffer = device.storage("never", 4);
    let build = || device.dispatch("probe", Defines::new(), &[(0, buffer.as_entire_binding())], [1, 1, 1]);
    let empty = device.checked(build).await?;
    seconds_each(device, &buffer, |encoder| device.encode(encoder, 1, std::iter::repeat_n(&empty, count))).await
}

/// Seconds of what `record` records, many times in one submit, up to the arrival of `end`'s first bytes.
async fn seconds_each(device: &Device, end: &wgpu::Buffer, record: impl Fn(&mut wgpu::CommandEncoder)) -> Result<f64> {
    let timed = async |times: usize| -> Result<f64> {
        let begun = Instant::now();
        let mut encoder = device.encoder();
        (0..times).for_each(|_| record(&mut encoder));
        let staged = device.stage(&mut encoder, end, 4);
        device.read(device.submit(encoder, staged)).await?;
        Ok(begun.elapsed().as_secs_f64() / times as f64)
    };
    // The first compiles, and makes memory really there.
    timed(1).await?;
    let times = (SUBMIT_SECONDS / timed(1).await?).clamp(1.0, 1000.0) as usize;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        best = best.min(timed(times).await?);
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing::hardware;
    use pollster::block_on;

    #[test]
    fn a_device_copies_and_launches() {
        let device = hardware();
        let rate = block_on(copy_rate(&device)).unwrap();
        assert!(rate.is_finite() && rate > 0.0, "{rate}");
        let [none, many] = [0, 500].map(|count| block_on(empty_dispatches(&device, count)).unwrap());
        assert!(none >= 0.0 && many > 0.0, "{none} {many}");
    }
}
