//! Weights on their way to the device: each tensor is repacked as its rows arrive; the last one completes the network.

use std::collections::HashMap;

use super::device::Device;
use super::kernels::attention::Precision;
use super::kv_cache::precision;
use super::network::{Layer, Network, Projection};
use super::runtime::Gpu;
use super::weights::Matrix;
use crate::error::{Error, Result};
use crate::formats::{DType, TensorInfo, quant};
use crate::model::{Config, Pending, Runtime, Scaling, Weight, WeightSink};

/// Builds a model on a device.
pub struct Sink {
    device: Device,
    config: Config,
    context_length: usize,
    matrices: HashMap<Weight, Matrix>,
    vectors: HashMap<Weight, Vec<f32>>,
    bytes_of_type: HashMap<DType, u64>,
    precision: Option<Precision>,
}

impl Sink {
    /// An empty model of this shape with room for `context_length` positions a sequence.
    pub fn new(device: &Device, config: &Config, context_length: usize) -> Result<Self> {
        let unsupported = |what: String| Err(Error::unsupported(what).hint("use device 'cpu'"));
        if !config.head_dim.is_multiple_of(8) || config.head_dim > 256 {
            return unsupported(format!("heads of {} elements: a multiple of 8 up to 256 is needed", config.head_dim));
        }
        if !config.hidden.is_multiple_of(32)
            || !config.intermediate.is_multiple_of(32)
            || !(config.heads * config.head_dim).is_multiple_of(32)
        {
            return unsupported("rows that are not a multiple of 32 elements".to_owned());
        }
        config.check_context_length(context_length)?;
        Ok(Self {
            device: device.clone(),
            config: config.clone(),
            context_length,
            matrices: HashMap::new(),
            vectors: HashMap::new(),
            bytes_of_type: HashMap::new(),
            precision: None,
        })
    }

    /// Keeps keys and values so, whatever their size.
    #[must_use]
    pub fn with_kv_precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    fn matrix(&mut self, weight: Weight) -> Result<Matrix> {
        self.matrices.remove(&weight).ok_or_else(|| Error::internal(format!("the weight {weight:?} never arrived")))
    }

    fn vector(&mut self, weights: &[Weight]) -> Result<wgpu::Buffer> {
        let mut all = Vec::new();
        for weight in weights {
            let missing = || Error::internal(format!("the weight {weight:?} never arrived"));
            all.extend(self.vectors.remove(weight).ok_or_else(missing)?);
        }
        Ok(self.device.storage_of("vector", &all))
    }

    /// One matrix where the parts have one type and fit one shard, else the parts.
    fn projection(&mut self, weights: &[Weight]) -> Result<Projection> {
        let parts = weights.iter().map(|&weight| self.matrix(weight)).collect::<Result<Vec<_>>>()?;
        let alike = parts.iter().all(|part| part.dtype == parts[0].dtype);
        let groups = parts.iter().all(|part| part.rows.is_multiple_of(crate::formats::ROW_GROUP));
        if alike && groups {
            let whole = Matrix::stack(&self.device, &parts.iter().collect::<Vec<_>>());
            if whole.shards.len() == 1 {
                return Ok(Projection::Fused(whole));
            }
        }
        Ok(Projection::Apart(parts))
    }

    /// The norms of query and key, then the biases of query, key and value, as far as the architecture has them.
    fn head_vectors(&mut self, layer: usize) -> Result<Option<wgpu::Buffer>> {
        let all = [
            Weight::QueryNorm(layer),
            Weight::KeyNorm(layer),
            Weight::QueryBias(layer),
            Weight::KeyBias(layer),
            Weight::ValueBias(layer),
        ];
        let there: Vec<_> = all.into_iter().filter(|&weight| self.config.has(weight)).collect();
        if there.is_empty() { Ok(None) } else { self.vector(&there).map(Some) }
    }

    fn layer(&mut self, layer: usize) -> Result<Layer> {
        Ok(Layer {
            attention_norm: self.vector(&[Weight::AttentionNorm(layer)])?,
            qkv: self.projection(&[Weight::Query(layer), Weight::Key(layer), Weight::Value(layer)])?,
            head_vectors: self.head_vectors(layer)?,
            window: self.config.window(layer),
            output: self.matrix(Weight::Output(layer))?,
            feed_forward_norm: self.vector(&[Weight::FeedForwardNorm(layer)])?,
            gate_up: self.projection(&[Weight::Gate(layer), Weight::Up(layer)])?,
            down: self.matrix(Weight::Down(layer))?,
        })
    }

    pub(super) fn network(mut self) -> Result<Network> {
        let quantization = self.bytes_of_type.iter().max_by_key(|(_, bytes)| **bytes).map_or(DType::F32, |(d, _)| *d);
        let default = precision(&self.config, quantization, self.context_length);
        let precision = self.precision.unwrap_or(default);
        if let Some(factors) = self.vectors.remove(&Weight::RopeFactors) {
            self.config.rope.scaling = Scaling::Factors(factors);
        }
        let layers = (0..self.config.layers).map(|layer| self.layer(layer)).collect::<Result<Vec<_>>>()?;
        let embedding = self.matrix(Weight::Embedding)?;
        let head = if self.config.tied { None } else { Some(self.matrix(Weight::Head)?) };
        let final_norm = self.vector(&[Weight::FinalNorm])?;
        Network::new(
            self.device.clone(),
            self.config,
            self.context_length,
            quantization,
            precision,
            embedding,
            layers,
            final_norm,
            head,
        )
    }
}

impl WeightSink for Sink {
    fn rows(&mut self, weight: Weight, tensor: &TensorInfo, first_row: usize, bytes: &[u8]) -> Result<()> {
        if tensor.shape.len() == 1 {
            let mut values = vec![0.0; tensor.columns()];
            quant::dequantize(tensor.dtype, bytes, &mut values);
            self.vectors.insert(weight, values);
            return Ok(());
        }
        *self.bytes_of_type.entry(tensor.dtype).or_default() += bytes.len() as u64;
        let device = &self.device;
        let matrix = self.matrices.entry(weight).or_insert_with(|| Matrix::for_tensor(device, tensor));
        matrix.write(device, first_row, bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Pending<'static, Box<dyn Runtime>> {
        Box::pin(async move {
            let device = self.device.clone();
            let network = device.checked(|| self.network()).await?;
            Ok(Box::new(Gpu::new(network).await?) as Box<dyn Runtime>)
        })
    }
}
