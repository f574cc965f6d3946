//! `vgg-16`: Simonyan and Zisserman 2015, configuration D, in the CIFAR form of
//! <https://github.com/kuangliu/pytorch-cifar>: batch normalisation, convolutions with bias, one linear layer.

use super::{Parts, require_side};
use crate::Result;
use crate::nn::builder::{Builder, ConvShape, Start};
use crate::nn::layers::{BatchNorm, Conv, global_average};
use crate::nn::network::Body;
use crate::nn::{InputShape, Mode};
use tch::{Kind, Tensor};

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
            let conv = builder.conv(&format!("features.{place}"), shape, Start::Default)?;
            let norm = builder.batch_norm(&format!("features.{}", place + 1), outputs)?;
            stage.push((conv, norm));
            place += 3;
            inputs = outputs;
        }
        stages.push(stage);
        place += 1;
    }
    let head = builder.linear("classifier", inputs, classes, Start::Default)?;
    Ok(Parts { body: Box::new(Vgg { stages }), head, is_spatial: true })
}

impl Body for Vgg {
    fn features(&self, input: &Tensor, kind: Kind, mode: Mode) -> Result<Tensor> {
        let mut maps = input.shallow_clone();
        for stage in &self.stages {
            for (conv, norm) in stage {
                maps = conv.forward_norm_relu(norm, &maps, mode)?;
            }
            maps = maps.f_max_pool2d(2, 2, 0, 1, false)?;
        }
        global_average(&maps, kind)
    }
}
