//! Compiles the C++ half of the shim against the headers of the libtorch that torch-sys found.
use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cpp");
    // docs.rs has no network and no libtorch; documentation needs neither.
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        panic!("torch-sys did not say where libtorch is; run `cargo xtask setup`, or set LIBTORCH");
    };
    let lib = PathBuf::from(lib);
    let include = lib.parent().map(|root| root.join("include")).unwrap_or_default();
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include("cpp")
        .define("USE_C10D_GLOO", None)
        .flag("-isystem")
        .flag(include.display().to_string())
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include").display().to_string())
        .files(
            ["shim", "cuda", "convolution", "dispatch", "random", "group"]
                .map(|name| format!("cpp/{name}.cpp")),
        )
        .compile("gaat_shim");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
