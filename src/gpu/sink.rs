//! Weights on their way to the device: each tensor is repacked as its rows arrive, the last of a layer builds its
//! dispatches, and the last of all completes the network.

use std::collections::HashMap;

use super::device::Device;
use super::frame::{Frame, Layer, Projection};
use super::kernels::attention::Precision;
use super::kernels::order::arranged;
use super::kv_cache::precision;
use super::network::{Built, Ends, Network};
use super::runtime::Gpu;
use super::weights::Matrix;
use crate::error::{Error, Result};
use crate::formats::{DType, TensorInfo, quant};
use crate::model::{Config, Pending, Runtime, Scaling, Weight, WeightSink};

/// Builds a model on a device.
pub struct Sink {
    frame: Frame,
    /// The layers that are complete, as far as all before them are.
    layers: Vec<Built>,
    /// Rows still to come, where some have.
    missing: HashMap<Weight, usize>,
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
            frame: Frame::new(device.clone(), config.clone(), context_length),
            layers: Vec::new(),
            missing: HashMap::new(),
            matrices: HashMap::new(),
            vectors: HashMap::new(),
            bytes_of_type: HashMap::new(),
            precision: None,
        })
    }

    /// Keeps keys and values so, whatever their size; in f16 where heads are too short for 8 bits.
    #[must_use]
    pub fn with_kv_precision(mut self, precision: Precision) -> Self {
        let short = precision == Precision::Q8 && !self.frame.config.head_dim.is_multiple_of(64);
        self.precision = Some(if short { Precision::F16 } else { precision });
        self
    }

    fn matrix(&mut self, weight: Weight) -> Result<Matrix> {
        self.matrices.remove(&weight).ok_or_else(|| Error::internal(format!("the weight {weight:?} never arrived")))
    }

    fn vector(&mut self, weight: Weight) -> Result<Vec<f32>> {
        self.vectors.remove(&weight).ok_or_else(|| Error::internal(format!("the weight {weight:?} never arrived")))
    }

    /// The weights of a norm of activations.
    fn norm(&mut self, weight: Weight) -> Result<wgpu::Buffer> {
        let vector = self.vector(weight)?;
        let device = &self.frame.device;
        Ok(device.storage_of("norm", &arranged(device, &vector)))
    }

    /// One matrix where the parts have one type and fit one shard, else the parts.
    fn projection(&mut self, weights: &[Weight]) -> Result<Projection> {
        let parts = weights.iter().map(|&weight| self.matrix(weight)).collect::<Result<Vec<_>>>()?;
        let alike = parts.iter().all(|part| part.dtype == parts[0].dtype);
        let groups = parts.iter().all(|part| part.rows.is_multiple_of(crate::formats::ROW_GROUP));
        if alike && groups {
            let whole = Matrix::stack(&self.frame.device, &parts.iter().collect::<Vec<_>>());
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
        let mut vectors = Vec::new();
        for weight in all {
            if self.frame.config.has(weight) {
                vectors.extend(self.vector(weight)?);
            }
        }
        Ok((!vectors.is_empty()).then(|| self.frame.device.storage_of("head vectors", &vectors)))
    }

    fn layer(&mut self, layer: usize) -> Result<Layer> {
        Ok(Layer {
            attention_norm: self.norm(Weight::AttentionNorm(layer))?,
            qkv: self.projection(&[Weight::Query(layer), Weight::Key(layer), Weight::Value(layer)])?,
            head_vectors: self.head_vectors(layer)?,
            window: self.frame.config.window(layer),
            output: self.matrix(Weight::Output(layer))?,
            feed_forward_norm: self.norm(Weight::FeedForwardNorm(layer))?,
            gate_up: self.projection(&[Weight::Gate(layer), Weight::Up(layer)])?,
            down: self.matrix(Weight::Down(layer))?,
        })
    }

    /// Whether every weight of a layer has come.
    fn is_complete(&self, layer: usize) -> bool {
        let whole = |weight: &Weight| self.vectors.contains_key(weight) || self.matrices.contains_key(weight);
        let mut needed = Weight::of_layer(layer).filter(|weight| self.frame.config.has(*weight));
        needed.all(|weight| whole(&weight) && !self.missing.contains_key(&weight))
    }

    /// Builds the layers that have become complete.
    fn build(&mut self) -> Result<()> {
        while self.layers.len() < self.frame.config.layers && self.is_complete(self.layers.len()) {
            let layer = self.layer(self.layers.len())?;
            self.layers.push(Built::new(&self.frame, layer)?);
        }
        Ok(())
    }

    pub(super) fn network(mut self) -> Result<Network> {
        let quantization = self.bytes_of_type.iter().max_by_key(|(_, bytes)| **bytes).map_or(DType::F32, |(d, _)| *d);
        let default = precision(&self.frame.config, quantization, self.frame.context_length);
        let precision = self.precision.unwrap_or(default);
        if let Some(factors) = self.vectors.remove(&Weight::RopeFactors) {
            self.frame.config.rope.scaling = Scaling::Factors(factors);
        }
        self.frame.write_rope();
        for layer in self.layers.len()..self.frame.config.layers {
            let layer = self.layer(layer)?;
            self.layers.push(Built::new(&self.frame, layer)?);
        }
        let embedding = self.matrix(Weight::Embedding)?;
        let untied_head = if self.frame.config.tied { None } else { Some(self.matrix(Weight::Head)?) };
        let ends = Ends { embedding, final_norm: self.norm(Weight::FinalNorm)?, untied_head };
        Network::new(self.frame, self.layers, ends, quantization, precision)
    }
}

impl WeightSink for Sink {
    fn rows(&mut self, weight: Weight, tensor: &TensorInfo, first_row: usize, bytes: &[u8]) -> Result<()> {
        if tensor.shape.len() == 1 {
            let mut values = vec![0.0; tensor.columns()];
            quant::dequantize(tensor.dtype, bytes, &mut values);
            self.vectors.insert(weight, values);
            return self.build();
        }
        *self.bytes_of_type.entry(tensor.dtype).or_default() += bytes.len() as u64;
        let device = &self.frame.device;
        let matrix = self.matrices.entry(weight).or_insert_with(|| Matrix::for_tensor(device, tensor));
        let written = matrix.write(device, first_row, bytes);
        let missing = self.missing.entry(weight).or_insert(tensor.rows());
        *missing -= written;
        if *missing > 0 {
            return Ok(());
        }
        self.missing.remove(&weight);
        self.build()
    }

    fn finish(self: Box<Self>) -> Pending<'static, Box<dyn Runtime>> {
        Box::pin(async move {
            let device = self.frame.device.clone();
            let network = device.checked(|| self.network()).await?;
            Ok(Box::new(Gpu::new(network).await?) as Box<dyn Runtime>)
        })
    }
}
