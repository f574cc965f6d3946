//! Files of PyTorch, files of strangers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gaat_pt2::{Argument, Behaviour, Error, Kept, Numbers, Package, Program, Purpose, read, read_graph};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../gaat/tests/golden/exported");
const NETWORKS: [&str; 10] = [
    "hand",
    "tied",
    "resnet18",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "densenet121",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
    "timm_resnet18",
];

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}.pt2")).unwrap()
}

fn program(name: &str) -> Program {
    read(bytes(name)).unwrap().program
}

fn stored<'a>(program: &'a Program, name: &str) -> &'a gaat_pt2::Stored {
    program.tensors.iter().find(|stored| stored.name == name).unwrap()
}

#[test]
fn the_networks_of_pytorch_are_read() {
    for name in NETWORKS {
        let program = program(name);
        assert_eq!(
            (program.image.channels, program.image.height, program.image.width),
            (3, 32, 32),
            "{name}"
        );
        assert_eq!((program.classes, program.batch), (10, None), "{name}");
        assert_eq!(program.schema.0, 8, "{name}");
        assert!(program.torch.starts_with("2.11"), "{name}: {}", program.torch);
        program.check_trainable().unwrap();
        program.check_judgeable().unwrap();
    }
    let hand = program("hand");
    assert_eq!(hand.class, "Hand");
    assert_eq!(hand.parameter_count(), 13_614);
    let weight = stored(&hand, "conv2.weight");
    assert_eq!(
        (weight.sizes.as_slice(), weight.kept, weight.purpose),
        (&[12, 8, 3, 3][..], Kept::Parameter { trains: true }, Purpose::Weight)
    );
    assert_eq!(stored(&hand, "bn1.bias").purpose, Purpose::NormShift);
    assert_eq!(stored(&hand, "bn1.running_mean").kept, Kept::Buffer { persistent: true });
}

#[test]
fn modes_are_found_in_the_graph() {
    let count = |program: &Program, wanted: &dyn Fn(&Behaviour) -> bool| {
        program.nodes.iter().filter(|node| wanted(&node.behaviour)).count()
    };
    let hand = program("hand");
    assert_eq!(
        count(&hand, &|b| matches!(b, Behaviour::BatchNorm { uses_batch: true, has_running: true })),
        2
    );
    assert_eq!(count(&hand, &|b| *b == Behaviour::Dropout { is_on: true }), 1);
    assert_eq!(count(&hand, &|b| *b == Behaviour::Bookkeeping), 2);
    let outside: Vec<&str> =
        hand.nodes.iter().filter(|node| !node.records_gradient).map(|node| node.name.as_str()).collect();
    assert_eq!(outside, ["abs_1", "amax"], "what lies within torch.no_grad()");
    for name in ["convnext_tiny", "swin_t", "timm_resnet18", "efficientnet_b0"] {
        let program = program(name);
        assert!(
            count(&program, &|b| matches!(b, Behaviour::StochasticDepth { keep } if *keep < 1.0)) > 0,
            "{name}"
        );
        assert_eq!(count(&program, &|b| *b == Behaviour::Noise), 0, "{name}");
    }
    assert!(count(&program("vit_b_16"), &|b| matches!(b, Behaviour::Attention { .. })) > 0);
}

#[test]
fn ties_and_frozen_layers_are_kept() {
    let tied = program("tied");
    assert!(stored(&tied, "second.weight").is_tied_to(stored(&tied, "third.weight")));
    assert_eq!(stored(&tied, "first.weight").kept, Kept::Parameter { trains: false });
    assert_eq!(stored(&tied, "table").kept, Kept::Buffer { persistent: false });
    assert_eq!(tied.parameter_count(), 3_154);
}

#[test]
fn the_last_map_of_convolutions_is_found() {
    let layer = |name: &str| program(name).feature_map().map(|map| map.layer);
    assert_eq!(layer("hand").as_deref(), Some("pool"));
    assert_eq!(layer("resnet18").as_deref(), Some("layer3.1.relu"), "its layer4 has one place");
    assert!(layer("densenet121").is_some_and(|layer| layer.starts_with("features")));
    assert!(layer("convnext_tiny").is_some_and(|layer| layer.starts_with("features")));
    assert_eq!(layer("vit_b_16"), None);
    assert_eq!(layer("tied"), None);
}

#[test]
fn the_head_is_the_layer_that_makes_the_logits() {
    let head = |name: &str| program(name).head().map(str::to_owned);
    for (name, layer) in [
        ("hand", "fc2"),
        ("tied", "last"),
        ("resnet18", "fc"),
        ("vit_b_16", "heads.head"),
        ("swin_t", "head"),
    ] {
        assert_eq!(head(name).as_deref(), Some(layer), "{name}");
    }
}

#[test]
fn what_a_graph_cannot_do_is_said_with_the_line_that_mends_it() {
    let trainable = |name: &str| program(name).check_trainable().unwrap_err().to_string();
    assert!(trainable("hand-eval").contains("net.train()"), "{}", trainable("hand-eval"));
    assert!(trainable("hand-fixed").contains("batches of 4"), "{}", trainable("hand-fixed"));
    program("hand-eval").check_judgeable().unwrap();
    let noisy = program("noisy").check_judgeable().unwrap_err().to_string();
    assert!(noisy.contains("randn_like") && noisy.contains("package_pt2"), "{noisy}");
    let Package { program, evaluation } = read(bytes("noisy-pair")).unwrap();
    assert!(program.check_judgeable().is_err());
    evaluation.unwrap().check_judgeable().unwrap();
}

#[test]
fn a_file_written_with_other_numbers_is_read_as_these() {
    let package = read(bytes("tied")).unwrap();
    let ours = &package.program;
    let double = |stored: &gaat_pt2::Stored| {
        let numbers = ours.contiguous(stored);
        stored.is_float32().then(|| {
            let values =
                numbers.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap()) * 2.0);
            values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
        })
    };
    let again = read(package.write("other", Numbers::Given(&double)).unwrap()).unwrap().program;
    assert_eq!(again.nodes, ours.nodes);
    for (stored, before) in again.tensors.iter().zip(&ours.tensors) {
        assert_eq!((&stored.name, &stored.sizes), (&before.name, &before.sizes));
        let expected = double(before).unwrap_or_else(|| ours.contiguous(before));
        assert_eq!(again.contiguous(stored), expected, "{}", stored.name);
    }
    assert!(stored(&again, "second.weight").is_tied_to(stored(&again, "third.weight")));
    let short = package.write("other", Numbers::Given(&|_| Some(vec![0]))).unwrap_err().to_string();
    assert!(short.contains("bytes"), "{short}");
}

/// What a package says of both of its programs.
fn both(package: &Package) -> [(&Program, Vec<Vec<u8>>); 2] {
    [&package.program, package.evaluation.as_ref().unwrap()]
        .map(|program| (program, program.tensors.iter().map(|stored| program.contiguous(stored)).collect()))
}

#[test]
fn two_programs_from_two_files_are_one_network() {
    let joined = || read(bytes("noisy")).unwrap().with_evaluation(read(bytes("noisy-eval")).unwrap());
    let package = joined().unwrap();
    // Written as one file with the numbers once, and as a graph alone.
    let ones = |stored: &gaat_pt2::Stored| Some(1.0f32.to_le_bytes().repeat(stored.count()));
    let written = package.write("other", Numbers::Given(&ones)).unwrap();
    assert!(written.len() < bytes("noisy").len() + 40_000, "{} bytes", written.len());
    let again = read(written).unwrap();
    for ((ours, _), (theirs, numbers)) in both(&package).into_iter().zip(both(&again)) {
        assert_eq!(ours.nodes, theirs.nodes);
        for (stored, content) in theirs.tensors.iter().zip(numbers) {
            assert_eq!(content, ones(stored).unwrap(), "{}", stored.name);
        }
    }
    let room = 8 * package.program.parameter_count() as u64;
    let (alone, _) = read_graph(package.write("graph", Numbers::LeftOut("of two")).unwrap(), room).unwrap();
    assert_eq!(alone.graphs().unwrap(), package.graphs().unwrap());
    alone.evaluation.unwrap().check_judgeable().unwrap();

    let refused = |first: &str, second: &str| {
        let package = read(bytes(first)).unwrap().with_evaluation(read(bytes(second)).unwrap());
        package.map(|_| ()).unwrap_err().to_string()
    };
    assert!(
        refused("noisy", "hand-eval").contains("not of one network"),
        "{}",
        refused("noisy", "hand-eval")
    );
    assert!(refused("noisy-pair", "noisy-eval").contains("both modes already"));
    assert!(refused("noisy", "noisy-pair").contains("both modes already"));
}

#[test]
fn an_evaluation_program_with_other_weights_is_refused() {
    let other = read(bytes("noisy-eval")).unwrap();
    let other = other.write("other", Numbers::Given(&|stored| Some(vec![0; 4 * stored.count()]))).unwrap();
    let error = read(bytes("noisy")).unwrap().with_evaluation(read(other).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`fc.weight` differs"), "{error}");
}

#[test]
fn a_graph_alone_has_sizes_and_no_numbers() {
    let package = read(bytes("hand")).unwrap();
    let alone = package.write("graph", Numbers::LeftOut("of a file")).unwrap();
    assert!(alone.len() < bytes("hand").len() - 4 * package.program.parameter_count() / 2);
    let room = 4 * package.program.parameter_count() as u64 * 2;
    let (again, origin) = read_graph(alone.clone(), room).unwrap();
    assert_eq!(
        (again.program.nodes.as_slice(), origin.as_str()),
        (package.program.nodes.as_slice(), "of a file")
    );
    assert_eq!(again.graphs().unwrap(), package.graphs().unwrap());
    for (stored, before) in again.program.tensors.iter().zip(&package.program.tensors) {
        assert_eq!((&stored.name, &stored.sizes), (&before.name, &before.sizes));
        if !before.kept.is_saved() {
            assert_eq!(again.program.contiguous(stored), package.program.contiguous(before));
        }
    }
    // It may not state more than lies beside it, nor pass for a whole file, nor a whole file for a graph.
    assert!(
        read_graph(alone.clone(), 100).unwrap_err().to_string().contains("more numbers than the 100 bytes")
    );
    assert!(read(alone).unwrap_err().to_string().contains("without its weights"));
    assert!(read_graph(bytes("hand"), room).unwrap_err().to_string().contains("graph alone"));
}

/// Path without its folder, content.
type Members = BTreeMap<String, Vec<u8>>;

fn members(file: &[u8]) -> Members {
    let mut zip = ZipArchive::new(Cursor::new(file)).unwrap();
    let mut members = Members::new();
    for index in 0..zip.len() {
        let mut member = zip.by_index(index).unwrap();
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        members.insert(member.name().split_once('/').unwrap().1.to_owned(), content);
    }
    members
}

fn zipped(members: &Members) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(format!("net/{name}"), options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// `tied` with changes to its model, its configuration of weights, and its members.
fn changed(change: &dyn Fn(&mut Value, &mut Value, &mut Members)) -> Result<Package, Error> {
    const MODEL: &str = "models/model.json";
    const CONFIG: &str = "data/weights/model_weights_config.json";
    let mut all = members(&bytes("hand"));
    let mut model: Value = serde_json::from_slice(&all[MODEL]).unwrap();
    let mut config: Value = serde_json::from_slice(&all[CONFIG]).unwrap();
    all.remove(MODEL);
    all.remove(CONFIG);
    change(&mut model, &mut config, &mut all);
    all.entry(MODEL.to_owned()).or_insert_with(|| model.to_string().into_bytes());
    all.entry(CONFIG.to_owned()).or_insert_with(|| config.to_string().into_bytes());
    read(zipped(&all))
}

fn node<'a>(model: &'a mut Value, target: &str) -> &'a mut Value {
    let nodes = model["graph_module"]["graph"]["nodes"].as_array_mut().unwrap();
    nodes.iter_mut().find(|node| node["target"] == format!("torch.ops.aten.{target}")).unwrap()
}

fn argument<'a>(model: &'a mut Value, target: &str, name: &str) -> &'a mut Value {
    let inputs = node(model, target)["inputs"].as_array_mut().unwrap();
    &mut inputs.iter_mut().find(|input| input["name"] == name).unwrap()["arg"]
}

/// A change to the model alone must be refused with all of `words` in the message.
fn refused(words: &[&str], change: impl Fn(&mut Value)) {
    refused_file(words, |model, _, _| change(model));
}

fn refused_file(words: &[&str], change: impl Fn(&mut Value, &mut Value, &mut Members)) {
    let message = changed(&change).expect_err(&words.join(" ")).to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

#[test]
fn a_file_that_is_taken_apart_and_put_together_is_still_read() {
    changed(&|_, _, _| ()).unwrap();
}

#[test]
fn operators_that_are_not_listed_are_refused_by_name_and_layer() {
    let retarget =
        |to: &'static str| move |model: &mut Value| node(model, "conv2d.default")["target"] = json!(to);
    refused(&["aten.from_file.default", "layer `conv1`"], |model| {
        let call = node(model, "conv2d.default");
        call["target"] = json!("torch.ops.aten.from_file.default");
        call["inputs"] = json!([{"name": "filename", "arg": {"as_string": "/tmp/owned"}}, {"name": "shared", "arg": {"as_bool": true}}]);
    });
    refused(&["_c10d_functional"], retarget("torch.ops._c10d_functional.all_reduce.default"));
    refused(&["mylib"], retarget("torch.ops.mylib.relu.default"));
    refused(&["cond"], retarget("torch.ops.higher_order.cond"));
    refused(&["autocast"], retarget("torch.ops.higher_order.wrap_with_autocast"));
    refused(&["os.system"], retarget("os.system"));
    refused(&["set_"], retarget("torch.ops.aten.set_.source_Tensor"));
    // Within a nested graph too.
    refused(&["from_file"], |model| {
        let nodes = model["graph_module"]["graph"]["nodes"].as_array_mut().unwrap();
        let outer = nodes
            .iter_mut()
            .find(|node| node["target"].as_str().unwrap().contains("set_grad_enabled"))
            .unwrap();
        outer["inputs"][1]["arg"]["as_graph"]["graph"]["nodes"][0]["target"] =
            json!("torch.ops.aten.from_file.default");
    });
}

#[test]
fn arguments_of_unknown_kinds_and_places_are_refused() {
    refused(&["as_wormhole", "stride", "conv2d"], |model| {
        *argument(model, "conv2d.default", "stride") = json!({"as_wormhole": 1});
    });
    refused(&["as_custom_obj"], |model| {
        *argument(model, "conv2d.default", "stride") = json!({"as_custom_obj": {"name": "x"}});
    });
    refused(&["linear_1", "before it is computed"], |model| {
        *argument(model, "relu.default", "self") = json!({"as_tensor": {"name": "linear_1"}});
    });
    refused(&["no kind"], |model| *argument(model, "relu.default", "self") = json!({}));
}

#[test]
fn tensors_are_held_against_their_bytes() {
    let meta = |key: &'static str, value: Value| {
        move |_: &mut Value, config: &mut Value, _: &mut Members| {
            config["config"]["conv1.weight"]["tensor_meta"][key] = value.clone();
        }
    };
    let size =
        |numbers: [i64; 4]| -> Value { numbers.iter().map(|number| json!({"as_int": number})).collect() };
    refused_file(&["conv1.weight", "beyond its bytes"], meta("sizes", size([1 << 40, 3, 3, 3])));
    refused_file(&["conv1.weight", "beyond its bytes"], meta("strides", size([1 << 62, 1 << 62, 3, 1])));
    refused_file(&["conv1.weight", "beyond its bytes"], meta("storage_offset", json!({"as_int": 400})));
    refused_file(&["conv1.weight", "beyond its bytes"], meta("strides", size([0, 0, 0, 400])));
    refused_file(&["conv1.weight", "sizes"], meta("sizes", size([-8, 3, 3, 3])));
    refused_file(&["conv1.weight", "float32"], meta("dtype", json!(6)));
    refused_file(&["conv1.weight", "dtype"], meta("dtype", json!(99)));
    refused_file(&["conv1.weight", "layout"], meta("layout", json!(1)));
    refused_file(&["conv1.weight", "pickle"], |_, config, _| {
        config["config"]["conv1.weight"]["use_pickle"] = json!(true);
    });
    refused_file(&["fc1.weight", "no numbers"], |_, config, _| {
        config["config"].as_object_mut().unwrap().remove("fc1.weight");
    });
    refused_file(&["data/weights/weight_0", "missing"], |_, _, members| {
        members.remove("data/weights/weight_0");
    });
}

#[test]
fn other_writers_and_versions_are_told_apart() {
    refused(&["schema 9", "2.11"], |model| model["schema_version"]["major"] = json!(9));
    refused(&["run_decompositions"], |model| model["verifiers"] = json!(["ATEN"]));
    refused_file(&["2.7 or older", "2.9"], |_, _, members| {
        members.insert("serialized_exported_program.json".to_owned(), Vec::new());
    });
    refused_file(&["2.8", "pickles"], |_, _, members| {
        members.insert("data/weights/model.pt".to_owned(), Vec::new());
    });
    refused_file(&["TorchScript"], |_, _, members| {
        members.insert("constants.pkl".to_owned(), Vec::new());
    });
    refused_file(&["AOTInductor"], |_, _, members| {
        members.insert("data/aotinductor/model/code.so".to_owned(), Vec::new());
    });
    refused_file(&["layout 1"], |_, _, members| {
        members.insert("archive_version".to_owned(), b"1".to_vec());
    });
    refused_file(&["big-endian"], |_, _, members| {
        members.insert("byteorder".to_owned(), b"big".to_vec());
    });
    refused_file(&["2 models"], |_, _, members| {
        members.insert("models/other.json".to_owned(), b"{}".to_vec());
    });
    refused_file(&["models/model.json", "not as torch.export.save writes it"], |_, _, members| {
        members.insert("models/model.json".to_owned(), "[".repeat(100_000).into_bytes());
    });
    let message = |bytes: Vec<u8>| read(bytes).unwrap_err().to_string();
    let whole = bytes("hand");
    assert!(message(whole[..whole.len() / 2].to_vec()).contains("cut short"));
    assert!(message(b"\x80\x02}q\x00.".to_vec()).contains("torch.export.save"));
    assert!(message(Vec::new()).contains("torch.export.save"));
    // A flipped bit among the numbers is found by the checksum.
    let mut flipped = whole.clone();
    let place = whole.windows(13).position(|window| window == b"data/weights/").unwrap() + 200;
    flipped[place] ^= 1;
    assert!(message(flipped).contains("CRC-32"));
}

#[test]
fn inputs_and_outputs_are_those_of_a_classifier() {
    let sizes = |of: &'static str, sizes: Value| {
        move |model: &mut Value| model["graph_module"]["graph"]["tensor_values"][of]["sizes"] = sizes.clone()
    };
    let fixed =
        |numbers: &[i64]| -> Value { numbers.iter().map(|number| json!({"as_int": number})).collect() };
    refused(&["dimensions"], sizes("x", fixed(&[2, 3, 32])));
    refused(&["empty"], sizes("x", fixed(&[2, 0, 32, 32])));
    refused(&["[N, classes]"], sizes("linear_1", fixed(&[7, 10])));
    refused(&["beyond"], sizes("relu", fixed(&[2, 1 << 20, 1 << 20, 1 << 20])));
    refused(&["negative"], sizes("relu", fixed(&[2, -1, 32, 32])));
    refused(&["several tensors"], |model| {
        let outputs = model["graph_module"]["signature"]["output_specs"].as_array_mut().unwrap();
        let first = outputs[0].clone();
        outputs.push(first);
    });
    refused(&["2 inputs"], |model| {
        let inputs = model["graph_module"]["signature"]["input_specs"].as_array_mut().unwrap();
        inputs.push(json!({"user_input": {"arg": {"as_tensor": {"name": "relu"}}}}));
    });
}

/// Seeded damage: bytes of the archive, and values of the JSON. Whatever comes is an error or a program, never a panic, and what is
/// taken has no more numbers than bytes.
#[test]
fn damaged_files_are_errors() {
    let mut random = ChaCha8Rng::seed_from_u64(17);
    let whole = bytes("tied");
    let parts = members(&whole);
    let json: Value = serde_json::from_slice(&parts["models/model.json"]).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..1200 {
        let file = if round % 3 == 0 {
            let mut file = whole.clone();
            for _ in 0..=random.next_u32() % 4 {
                let place = random.next_u64() as usize % file.len();
                file[place] = random.next_u32() as u8;
            }
            if random.next_u32().is_multiple_of(4) {
                file.truncate(random.next_u64() as usize % file.len());
            }
            file
        } else {
            let mut changed = json.clone();
            for _ in 0..=random.next_u32() % 2 {
                damage(&mut changed, &mut random);
            }
            let mut parts = parts.clone();
            parts.insert("models/model.json".to_owned(), changed.to_string().into_bytes());
            zipped(&parts)
        };
        let length = file.len();
        match read(file) {
            Ok(package) => {
                taken += 1;
                let numbers: usize = package.program.tensors.iter().map(gaat_pt2::Stored::count).sum();
                assert!(numbers <= length);
                let _ = (
                    package.program.feature_map(),
                    package.program.check_trainable(),
                    package.program.check_judgeable(),
                );
            }
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}

/// Changes one value somewhere in `value`.
fn damage(value: &mut Value, random: &mut ChaCha8Rng) {
    let pick = |count: usize, random: &mut ChaCha8Rng| random.next_u64() as usize % count;
    match value {
        Value::Object(map) if !map.is_empty() => {
            let place = pick(map.len(), random);
            let key = map.keys().nth(place).unwrap().clone();
            match random.next_u32() % 24 {
                0 => drop(map.remove(&key)),
                1 => {
                    let moved = map.remove(&key).unwrap();
                    map.insert("as_graph".to_owned(), moved);
                }
                _ => damage(map.get_mut(&key).unwrap(), random),
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let place = pick(list.len(), random);
            match random.next_u32() % 24 {
                0 => drop(list.remove(place)),
                1 => list.push(list[place].clone()),
                _ => damage(&mut list[place], random),
            }
        }
        other => {
            let choices = [
                json!(-1),
                json!(i64::MAX),
                json!(0),
                json!("x"),
                json!(null),
                json!(true),
                json!({}),
                json!(1e300),
                json!([]),
            ];
            *other = choices[pick(choices.len(), random)].clone();
        }
    }
}

#[test]
fn arguments_are_typed() {
    let hand = program("hand");
    let conv = hand.nodes.iter().find(|node| node.called() == "aten.conv2d").unwrap();
    assert!(
        matches!(conv.input("weight"), Some(Argument::Value(id)) if *id == stored(&hand, "conv1.weight").value)
    );
    assert_eq!(conv.input("padding"), Some(&Argument::Ints(vec![1, 1])));
    let view = hand.nodes.iter().find(|node| node.called() == "aten.view").unwrap();
    assert!(matches!(view.input("size"), Some(Argument::Dimensions(sizes)) if sizes.len() == 2));
}
