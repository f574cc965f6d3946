//! Lets the engine find libtorch without an environment variable.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    // An installed `bin/gaat-engine` looks beside itself first; a built one in the folder it was linked against.
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let origin = if target == "macos" { "@loader_path" } else { "$ORIGIN" };
    println!("cargo::rustc-link-arg-bin=gaat-engine=-Wl,-rpath,{origin}/../lib/gaat");
    println!("cargo::rustc-link-arg-bin=gaat-engine=-Wl,-rpath,{lib}");
}
