// The names that bridge.cpp needs of libtorch_python, for the linker alone: this library is never loaded.
namespace at {
class TensorBase;
}
struct _object;
_object* THPVariableClass;
_object* THPVariable_Wrap(const at::TensorBase&) { __builtin_trap(); }
