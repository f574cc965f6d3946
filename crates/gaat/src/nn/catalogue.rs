//! The networks that there are by name: the published ones, and those that a user registers.

use super::builder::{BuildOptions, Builder};
use super::classifier::{Classifier, InputShape};
use super::models::Published;
use crate::error::Result;
use gaat_spec::{CheckedRecipe, ModelName, Recipe};
use std::sync::Arc;

/// How the networks of some names are built. A file that names one of them can be opened where the architecture is in the
/// catalogue.
pub trait Architecture: Send + Sync {
    /// Whether `name` is one of its names. The names of published networks are taken.
    fn claims(&self, name: &str) -> bool;

    /// Builds the network that `builder` is asked for ([`Builder::model`]).
    ///
    /// # Errors
    /// When the network cannot take such images, with what to use instead.
    fn build(&self, builder: Builder) -> Result<Box<dyn Classifier>>;
}

/// Networks by name.
#[derive(Clone)]
pub struct Catalogue {
    architectures: Vec<Arc<dyn Architecture>>,
}

impl Catalogue {
    /// The published networks.
    pub fn standard() -> Self {
        Self { architectures: vec![Arc::new(Published)] }
    }

    /// The same and `architecture`.
    #[must_use]
    pub fn with(mut self, architecture: impl Architecture + 'static) -> Self {
        self.architectures.push(Arc::new(architecture));
        self
    }

    /// Checks `recipe`, whose model is one of this catalogue.
    ///
    /// # Errors
    /// As [`Recipe::check`].
    pub fn check(&self, recipe: &Recipe) -> Result<CheckedRecipe> {
        Ok(recipe.check_with(&|model| self.knows(model))?)
    }

    /// Builds `model` for images of shape `input` and `classes` classes, freshly initialised.
    ///
    /// # Errors
    /// When no architecture has that name; when the model cannot take such images, with what to use instead; when the
    /// options contradict each other.
    pub fn build(
        &self,
        model: &ModelName,
        input: InputShape,
        classes: i64,
        options: &BuildOptions,
    ) -> Result<Box<dyn Classifier>> {
        let architecture = self.find(model)?;
        architecture.build(Builder::new(*model, Arc::clone(architecture), input, classes, options)?)
    }

    /// Whether it has `model`.
    pub(crate) fn knows(&self, model: &ModelName) -> bool {
        self.find(model).is_ok()
    }

    fn find(&self, model: &ModelName) -> Result<&Arc<dyn Architecture>> {
        let name = model.to_string();
        let found = self.architectures.iter().find(|architecture| architecture.claims(&name));
        match found {
            Some(architecture) => Ok(architecture),
            None => Err(model.published().map_or_else(Into::into, |model| {
                crate::Error::Usage(format!("no architecture of the catalogue has the name {model}"))
            })),
        }
    }
}

/// Builds a published `model` for images of shape `input` and `classes` classes, freshly initialised.
///
/// # Errors
/// As [`Catalogue::build`].
pub fn build(
    model: &ModelName,
    input: InputShape,
    classes: i64,
    options: &BuildOptions,
) -> Result<Box<dyn Classifier>> {
    Catalogue::standard().build(model, input, classes, options)
}
