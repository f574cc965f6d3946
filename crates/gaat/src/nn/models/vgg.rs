//! `vgg-16`: Simonyan and Zisserman 2015, configuration D, in the CIFAR form of
//! <https://github.com/kuangliu/pytorch-cifar>: batch normalisation, convolutions with bias, one linear layer.

use super::{Parts, require_side};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use crate::nn::flow::Flow;
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Body;

pub(super) const HEAD: &str = "classifier";

/// Output channels of the convolutions of each stage; a stage ends by halving the sides.
const STAGES: [&[i64]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

struct Vgg {
    stages: Vec<Vec<(Conv, BatchNorm)>>,
}

pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    require_side(
        builder,
        input,
        32,
        "it halves them five times, so 32x32 is the least; use `convnet`, `preact-resnet-18` or `wide-resnet-D-K`, \
         or resize the images",
    )?;
    let mut stages = Vec::new();
    let mut inputs = input.channels;
    // Place in PyTorch's `features`: convolution, normalisation, ReLU; one for the pooling.
    let mut place = 0;
    for widths in STAGES {
        let mut stage = Vec::new();
        for &outputs in widths {
            let shape = ConvShape { has_bias: true, ..ConvShape::three(inputs, outputs, 1) };
            let conv = builder.conv(&format!("features.{place}"), shape, Initial::Default)?;
            let norm = builder.batch_norm(&format!("features.{}", place + 1), outputs)?;
            stage.push((conv, norm));
            place += 3;
            inputs = outputs;
        }
        stages.push(stage);
        place += 1;
    }
    let head = builder.linear(HEAD, inputs, classes, Initial::Default)?;
    Ok(Parts { body: Box::new(Vgg { stages }), head, is_spatial: true })
}

impl Body for Vgg {
    fn features<F: Flow>(&self, flow: &F, mut maps: F::Value) -> Result<F::Value> {
        for stage in &self.stages {
            for (conv, norm) in stage {
                maps = flow.norm_relu(norm, &flow.conv(conv, &maps)?)?;
            }
            flow.feature_maps(&maps);
            maps = flow.max_pool(&maps)?;
        }
        flow.global_average(&maps)
    }

    fn feature_layer(&self) -> Option<&str> {
        Some("features.40")
    }
}
