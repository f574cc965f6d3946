//! What a method that wraps another method answers with the answer of that method, its field `inner`.

/// All of `TrainingMethod` but the step and the state. A method of the trait that is forgotten here would have its default in every
/// wrapper alike.
macro_rules! answers_of_inner {
    () => {
        fn observe(&mut self, outcome: &$crate::train::step::StepOutcome) {
            self.inner.observe(outcome);
        }

        fn takes_second_order(&self) -> bool {
            self.inner.takes_second_order()
        }

        fn replays(&self) -> usize {
            self.inner.replays()
        }

        fn indivisible(&self) -> Option<&'static str> {
            self.inner.indivisible()
        }

        fn needs_whole_graph(&self) -> Option<&'static str> {
            self.inner.needs_whole_graph()
        }

        fn is_natural(&self) -> bool {
            self.inner.is_natural()
        }

        fn divide(&mut self, world: &dyn $crate::world::World) -> $crate::error::Result<()> {
            self.inner.divide(world)
        }
    };
}

pub(super) use answers_of_inner;
