//! What is written is read back as the same value: lengths, threat models, names of methods and networks, attacks, recipes.
#![allow(clippy::unwrap_used, reason = "a test")]

use gaat_spec::method::BaseMethod;
use gaat_spec::{
    AttackName, AttackSpec, Budget, MethodName, ModelName, Norm, PixelLength, Recipe, ThreatModel,
};
use proptest::prelude::*;

fn length() -> impl Strategy<Value = PixelLength> {
    let plain = (0.0..1000.0_f64).prop_map(|value| PixelLength::new(value).unwrap());
    let fraction =
        (0_u32..4000, 1_u32..1000).prop_map(|(above, below)| format!("{above}/{below}").parse().unwrap());
    prop_oneof![plain, fraction]
}

fn threat() -> impl Strategy<Value = ThreatModel> {
    let small = (0.0..=1.0_f64).prop_map(|value| PixelLength::new(value).unwrap());
    let linf = small.prop_map(|epsilon| ThreatModel::new(Norm::Linf, epsilon).unwrap());
    let l2 = length().prop_map(|epsilon| ThreatModel::new(Norm::L2, epsilon).unwrap());
    prop_oneof![linf, l2]
}

/// Names of networks as users write them, of which the sizes are drawn.
fn model() -> impl Strategy<Value = String> {
    let width = 1_u32..200;
    let residual = (width.clone(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(width, halved, activated, bare, swish)| {
            let mut name = format!("preact-resnet-18-w{width}");
            for (has, ending) in [
                (halved, "-s2"),
                (activated, "-activated-shortcut"),
                (bare, "-no-final-norm"),
                (swish, "-swish"),
            ] {
                if has {
                    name += ending;
                }
            }
            name
        },
    );
    let plain = (width.clone(), any::<bool>())
        .prop_map(|(width, halved)| format!("resnet-18-w{width}{}", if halved { "-s2" } else { "" }));
    let wide = (1_u32..10, 1_u32..20, prop::sample::select(vec!["", "dm-"]))
        .prop_map(|(blocks, widening, prefix)| format!("{prefix}wide-resnet-{}-{widening}", 4 + 6 * blocks));
    let fixed =
        prop::sample::select(vec!["convnet", "mlp", "vgg-16", "efficientnet-b0", "vit-tiny", "resnet-18"])
            .prop_map(str::to_owned);
    prop_oneof![residual, plain, wide, fixed]
}

fn budget() -> impl Strategy<Value = Budget> {
    (prop::option::of(1_usize..500), prop::option::of(1_usize..9)).prop_map(|(steps, restarts)| Budget {
        steps,
        restarts,
        ..Budget::default()
    })
}

fn method() -> impl Strategy<Value = MethodName> {
    (prop::sample::select(BaseMethod::ALL), any::<bool>(), any::<bool>()).prop_map(|(base, delayed, awp)| {
        let is_natural = base == BaseMethod::Natural;
        MethodName { base, delayed: delayed && !is_natural, awp: awp && !is_natural }
    })
}

proptest! {
    #[test]
    fn lengths_come_back(length in length()) {
        prop_assert_eq!(length.to_string().parse::<PixelLength>().unwrap(), length);
        let json = serde_json::to_string(&length).unwrap();
        prop_assert_eq!(serde_json::from_str::<PixelLength>(&json).unwrap(), length);
    }

    #[test]
    fn threat_models_come_back(threat in threat()) {
        let json = serde_json::to_string(&threat).unwrap();
        prop_assert_eq!(serde_json::from_str::<ThreatModel>(&json).unwrap(), threat);
    }

    #[test]
    fn names_of_methods_come_back(method in method()) {
        prop_assert_eq!(method.to_string().parse::<MethodName>().unwrap(), method);
    }

    #[test]
    fn names_of_networks_come_back(text in model()) {
        let model = text.parse::<ModelName>().unwrap();
        prop_assert_eq!(model.to_string().parse::<ModelName>().unwrap(), model);
        prop_assert!(model.published().is_ok(), "{}", text);
    }

    /// Every attack with drawn numbers, where it has them: the JSON of a verdict is read back by `evaluate` and `compare`.
    #[test]
    fn attacks_come_back(threat in threat(), budget in budget(), name in prop::sample::select(AttackName::ALL)) {
        prop_assume!(threat.epsilon() > 0.0);
        let Ok(attack) = budget.attack(name, &threat) else { return Ok(()) };
        prop_assert_eq!(attack.name(), name);
        let json = serde_json::to_string(&attack).unwrap();
        prop_assert_eq!(serde_json::from_str::<AttackSpec>(&json).unwrap(), attack);
    }

    #[test]
    fn recipes_come_back(
        model in model(),
        method in method(),
        epsilon in length(),
        seed in 0_u64..1 << 53,
        learning_rate in 1e-6..10.0_f64,
        flip in prop::option::of(any::<bool>()),
    ) {
        let recipe = Recipe {
            model: Some(model.parse().unwrap()),
            method: Some(method),
            epsilon: Some(epsilon),
            seed: Some(seed),
            learning_rate: Some(learning_rate),
            flip,
            ..Recipe::default()
        };
        let text = recipe.to_toml().unwrap();
        prop_assert_eq!(Recipe::from_toml(&text).unwrap(), recipe, "{}", text);
    }
}

/// The draws above would show nothing if a budget fitted no attack.
#[test]
fn most_attacks_take_a_number_of_steps() {
    let threat = ThreatModel::new(Norm::Linf, "8/255".parse().unwrap()).unwrap();
    let budget = Budget { steps: Some(7), ..Budget::default() };
    let fits = AttackName::ALL.iter().filter(|name| budget.attack(**name, &threat).is_ok()).count();
    assert!(fits * 2 > AttackName::ALL.len(), "{fits} of {}", AttackName::ALL.len());
}
