//! Weights as they arrive, kept as they are, and the runtime they become.

use std::collections::BTreeMap;

use super::matrix::Matrix;
use super::network::{Layer, Network};
use super::quant::BLOCK;
use super::runtime::Cpu;
use super::team::{Team, Threads};
use crate::error::{Error, Result};
use crate::formats::{DType, TensorInfo};
use crate::model::{Config, Pending, Runtime, Scaling, Weight, WeightSink};

/// Collects a model's weights in memory.
pub struct Sink {
    config: Config,
    context_length: usize,
    weights: BTreeMap<Weight, Matrix>,
    team: Team,
}

impl Sink {
    /// A sink for the weights of `config`'s network, whose sequences will hold `context_length` positions.
    pub fn new(config: &Config, context_length: usize) -> Result<Self> {
        for (what, n) in
            [("hidden size", config.hidden), ("feed-forward size", config.intermediate), ("head size", config.head_dim)]
        {
            if n == 0 || n % BLOCK != 0 {
                return Err(Error::unsupported(format!("expected a {what} that is a multiple of {BLOCK}, got {n}")));
            }
        }
        config.check_context_length(context_length)?;
        Ok(Self { config: config.clone(), context_length, weights: BTreeMap::new(), team: Team::new(None) })
    }

    /// Shares the work out among threads, if there are any.
    pub fn with_threads(mut self, threads: Option<Box<dyn Threads>>) -> Self {
        self.team = Team::new(threads);
        self
    }

    fn matrix(&mut self, weight: Weight) -> Result<Matrix> {
        match self.weights.remove(&weight) {
            Some(matrix) if matrix.complete() => Ok(matrix),
            Some(_) => Err(Error::malformed(format!("some rows of {weight:?} are missing"))),
            None => Err(Error::malformed(format!("the weight {weight:?} is missing"))),
        }
    }

    /// Empty where the architecture has no such weight.
    fn vector(&mut self, weight: Weight) -> Result<Vec<f32>> {
        let length = match self.config.shape_of(weight).as_deref() {
            Some(&[length]) => length,
            _ => return Ok(Vec::new()),
        };
        let matrix = self.matrix(weight)?;
        let mut vector = vec![0.0; length];
        matrix.row(0, &mut vector);
        Ok(vector)
    }

    fn layer(&mut self, i: usize) -> Result<Layer> {
        Ok(Layer {
            attention_norm: self.vector(Weight::AttentionNorm(i))?,
            query: self.matrix(Weight::Query(i))?,
            key: self.matrix(Weight::Key(i))?,
            value: self.matrix(Weight::Value(i))?,
            biases: [
                self.vector(Weight::QueryBias(i))?,
                self.vector(Weight::KeyBias(i))?,
                self.vector(Weight::ValueBias(i))?,
            ],
            query_norm: self.vector(Weight::QueryNorm(i))?,
            key_norm: self.vector(Weight::KeyNorm(i))?,
            output: self.matrix(Weight::Output(i))?,
            feed_forward_norm: self.vector(Weight::FeedForwardNorm(i))?,
            gate: self.matrix(Weight::Gate(i))?,
            up: self.matrix(Weight::Up(i))?,
            down: self.matrix(Weight::Down(i))?,
        })
    }

    fn runtime(mut self) -> Result<Cpu> {
        let weight_bytes = self.weights.values().map(|m| m.bytes() as u64).sum();
        if self.config.has(Weight::RopeFactors) {
            self.config.rope.scaling = Scaling::Factors(self.vector(Weight::RopeFactors)?);
        }
        let layers = (0..self.config.layers).map(|i| self.layer(i)).collect::<Result<_>>()?;
        let network = Network {
            embedding: self.matrix(Weight::Embedding)?,
            layers,
            final_norm: self.vector(Weight::FinalNorm)?,
            head: if self.config.tied { None } else { Some(self.matrix(Weight::Head)?) },
            config: self.config,
        };
        Ok(Cpu::new(network, self.context_length, weight_bytes, self.team))
    }
}

/// The type that holds the most bytes of the blocks' matrices.
pub fn quantization(network: &Network) -> DType {
    let mut bytes: BTreeMap<DType, usize> = BTreeMap::new();
    for matrix in network.layers.iter().flat_map(Layer::matrices).chain([&network.embedding]) {
        *bytes.entry(matrix.dtype()).or_default() += matrix.rows() * matrix.columns();
    }
    bytes.into_iter().max_by_key(|(_, n)| *n).map_or(DType::F32, |(dtype, _)| dtype)
}

impl WeightSink for Sink {
    fn rows(&mut self, weight: Weight, tensor: &TensorInfo, first_row: usize, bytes: &[u8]) -> Result<()> {
        if first_row == 0 {
            self.weights.insert(weight, Matrix::with_room_for(tensor)?);
        }
        let matrix = self.weights.get_mut(&weight);
        let matrix = matrix.ok_or_else(|| Error::internal(format!("{weight:?} starts at row {first_row}")))?;
        matrix.append(first_row, bytes)
    }

    fn finish(self: Box<Self>) -> Pending<'static, Box<dyn Runtime>> {
        Box::pin(async move { Ok(Box::new(self.runtime()?) as Box<dyn Runtime>) })
    }
}
