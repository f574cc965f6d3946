//! Compiles the bridge between tensors of C++ and of Python, and names the library that holds Python's half.
//!
//! A bare libtorch, which the rest of the workspace is built with, has no `libtorch_python`. The extension needs no more of that
//! library than its name and two symbols: the linker gets them from a library of nothing but names, and the loader finds the
//! real one in the process, where `import torch` has put it. So the extension is built, checked and linted with everything else,
//! against the same libtorch.
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cpp");
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        panic!("torch-sys did not say where libtorch is; run `cargo xtask setup`, or set LIBTORCH");
    };
    let include = PathBuf::from(lib).parent().map(|root| root.join("include")).unwrap_or_default();
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .flag("-isystem")
        .flag(include.display().to_string())
        .file("cpp/bridge.cpp")
        .compile("gaat_bridge");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("names");
    if let Err(error) = fs::create_dir_all(&out) {
        panic!("{}: {error}", out.display());
    }
    let is_mac = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "macos");
    let (file, name) = if is_mac {
        ("libtorch_python.dylib", "-Wl,-install_name,@rpath/libtorch_python.dylib")
    } else {
        ("libtorch_python.so", "-Wl,-soname,libtorch_python.so")
    };
    let compiler = cc::Build::new().cpp(true).get_compiler();
    let mut link = Command::new(compiler.path());
    link.args(["-shared", "-fPIC", name, "cpp/names.cpp", "-o"]).arg(out.join(file));
    match link.status() {
        Ok(status) if status.success() => {}
        failed => panic!("cpp/names.cpp: the linker failed: {failed:?}"),
    }
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=dylib=torch_python");
    if is_mac {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-undefined,dynamic_lookup");
    }
}
