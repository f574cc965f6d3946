//! `vit-tiny`: Dosovitskiy et al. 2021 at the width of `DeiT`-tiny, with patches of 4x4, as timm defines it
//! (<https://github.com/huggingface/pytorch-image-models>, `VisionTransformer(img_size=32, patch_size=4, embed_dim=192,
//! depth=12, num_heads=3)`): class token, learned positions, layer normalisation before each part with epsilon 1e-6.

use super::Parts;
use crate::error::{Error, Result};
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{Conv, Heads, LayerNorm, Linear, TokenEmbedding};
use crate::nn::network::Body;

pub(super) const HEAD: &str = "head";
const PATCH: i64 = 4;
const WIDTH: i64 = 192;
const DEPTH: usize = 12;
const HEADS: Heads = Heads { count: 3, depth: WIDTH / 3 };
/// Width inside the perceptron of a block, over that outside.
const EXPANSION: i64 = 4;

struct Block {
    norm1: LayerNorm,
    queries_keys_values: Linear,
    projection: Linear,
    norm2: LayerNorm,
    first: Linear,
    second: Linear,
}

struct VisionTransformer {
    patches: Conv,
    tokens: TokenEmbedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    if input.height % PATCH != 0 || input.width % PATCH != 0 {
        let reason = format!("images of {input} cannot be cut into patches of {PATCH}x{PATCH}; resize them");
        return Err(Error::Model { model: builder.model().to_string(), reason });
    }
    let count = input.height / PATCH * (input.width / PATCH);
    let tokens = builder.tokens(count, WIDTH)?;
    let shape = ConvShape {
        kernel: PATCH,
        stride: PATCH,
        has_bias: true,
        ..ConvShape::one(input.channels, WIDTH, 1)
    };
    let patches = builder.conv("patch_embed.proj", shape, Initial::Default)?;
    let blocks = (0..DEPTH).map(|place| block(builder, &format!("blocks.{place}"))).collect::<Result<_>>()?;
    let norm = builder.layer_norm("norm", WIDTH)?;
    let head = builder.linear(HEAD, WIDTH, classes, Initial::Narrow)?;
    let body = VisionTransformer { patches, tokens, blocks, norm };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}

fn block(builder: &mut Builder, name: &str) -> Result<Block> {
    let norm1 = builder.layer_norm(&format!("{name}.norm1"), WIDTH)?;
    let mut linear = |part: &str, inputs, outputs| {
        builder.linear(&format!("{name}.{part}"), inputs, outputs, Initial::Narrow)
    };
    let queries_keys_values = linear("attn.qkv", WIDTH, 3 * WIDTH)?;
    let projection = linear("attn.proj", WIDTH, WIDTH)?;
    let norm2 = builder.layer_norm(&format!("{name}.norm2"), WIDTH)?;
    let mut linear = |part: &str, inputs, outputs| {
        builder.linear(&format!("{name}.{part}"), inputs, outputs, Initial::Narrow)
    };
    let first = linear("mlp.fc1", WIDTH, EXPANSION * WIDTH)?;
    let second = linear("mlp.fc2", EXPANSION * WIDTH, WIDTH)?;
    Ok(Block { norm1, queries_keys_values, projection, norm2, first, second })
}

impl Block {
    fn forward<F: Flow>(&self, flow: &F, input: &F::Value) -> Result<F::Value> {
        let parts = flow.linear(&self.queries_keys_values, &flow.layer_norm(&self.norm1, input)?)?;
        let mixed = flow.linear(&self.projection, &flow.attention(HEADS, &parts)?)?;
        let tokens = flow.add(mixed, input)?;
        let inner = flow.linear(&self.first, &flow.layer_norm(&self.norm2, &tokens)?)?;
        let inner = flow.activate(Activation::Gelu, inner)?;
        flow.add(flow.linear(&self.second, &inner)?, &tokens)
    }
}

impl Body for VisionTransformer {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let mut tokens = flow.tokens(&self.tokens, &flow.conv(&self.patches, &input)?)?;
        for block in &self.blocks {
            tokens = block.forward(flow, &tokens)?;
        }
        flow.first_token(&flow.layer_norm(&self.norm, &tokens)?)
    }
}
