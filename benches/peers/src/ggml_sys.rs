//! What `ggml.rs` calls of ggml's C interface, as its headers of version 0.26 declare it (`ggml.h`,
//! `ggml-alloc.h`, `ggml-backend.h`, `ggml-cpu.h`).

#![allow(missing_docs, reason = "the headers document the functions")]

use std::ffi::{c_char, c_int, c_void};

macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub(crate) struct $name {
            _private: [u8; 0],
        }
    )*};
}

opaque!(Context, Tensor, Graph, Backend, Buffer, BufferType, ThreadPool, Registry, Device);

pub(crate) type Type = c_int;
pub(crate) const F32: Type = 0;
pub(crate) const F16: Type = 1;
pub(crate) const Q4_0: Type = 2;
pub(crate) const Q8_0: Type = 8;
pub(crate) const Q4_K: Type = 12;
pub(crate) const Q6_K: Type = 14;
pub(crate) const I32: Type = 26;
pub(crate) const BF16: Type = 30;

pub(crate) const SUCCESS: c_int = 0;
pub(crate) const ROPE_NEOX: c_int = 2;

const MAX_THREADS: usize = 512;

#[repr(C)]
pub(crate) struct InitParams {
    pub(crate) mem_size: usize,
    pub(crate) mem_buffer: *mut c_void,
    pub(crate) no_alloc: bool,
}

#[repr(C)]
pub(crate) struct ThreadPoolParams {
    cpumask: [bool; MAX_THREADS],
    n_threads: c_int,
    priority: c_int,
    poll: u32,
    strict_cpu: bool,
    paused: bool,
}

/// Level, text, what was given along.
pub(crate) type Log = unsafe extern "C" fn(c_int, *const c_char, *mut c_void);

unsafe extern "C" {
    pub(crate) fn ggml_log_set(log: Option<Log>, user_data: *mut c_void);
    pub(crate) fn ggml_version() -> *const c_char;
    pub(crate) fn ggml_init(params: InitParams) -> *mut Context;
    pub(crate) fn ggml_free(context: *mut Context);
    pub(crate) fn ggml_tensor_overhead() -> usize;
    pub(crate) fn ggml_graph_overhead_custom(size: usize, grads: bool) -> usize;
    pub(crate) fn ggml_new_tensor(context: *mut Context, kind: Type, dims: c_int, sizes: *const i64) -> *mut Tensor;
    pub(crate) fn ggml_nbytes(tensor: *const Tensor) -> usize;
    pub(crate) fn ggml_nelements(tensor: *const Tensor) -> i64;
    pub(crate) fn ggml_new_graph_custom(context: *mut Context, size: usize, grads: bool) -> *mut Graph;
    pub(crate) fn ggml_build_forward_expand(graph: *mut Graph, tensor: *mut Tensor);

    pub(crate) fn ggml_mul_mat(context: *mut Context, a: *mut Tensor, b: *mut Tensor) -> *mut Tensor;
    pub(crate) fn ggml_mul(context: *mut Context, a: *mut Tensor, b: *mut Tensor) -> *mut Tensor;
    pub(crate) fn ggml_add(context: *mut Context, a: *mut Tensor, b: *mut Tensor) -> *mut Tensor;
    pub(crate) fn ggml_soft_max(context: *mut Context, a: *mut Tensor) -> *mut Tensor;
    pub(crate) fn ggml_rms_norm(context: *mut Context, a: *mut Tensor, eps: f32) -> *mut Tensor;
    pub(crate) fn ggml_norm(context: *mut Context, a: *mut Tensor, eps: f32) -> *mut Tensor;
    pub(crate) fn ggml_silu(context: *mut Context, a: *mut Tensor) -> *mut Tensor;
    pub(crate) fn ggml_gelu(context: *mut Context, a: *mut Tensor) -> *mut Tensor;
    pub(crate) fn ggml_gelu_erf(context: *mut Context, a: *mut Tensor) -> *mut Tensor;
    pub(crate) fn ggml_flash_attn_ext(
        context: *mut Context,
        q: *mut Tensor,
        k: *mut Tensor,
        v: *mut Tensor,
        mask: *mut Tensor,
        scale: f32,
        max_bias: f32,
        logit_softcap: f32,
    ) -> *mut Tensor;
    pub(crate) fn ggml_rope_ext(
        context: *mut Context,
        a: *mut Tensor,
        positions: *mut Tensor,
        factors: *mut Tensor,
        dims: c_int,
        mode: c_int,
        original_context: c_int,
        base: f32,
        scale: f32,
        ext_factor: f32,
        attn_factor: f32,
        beta_fast: f32,
        beta_slow: f32,
    ) -> *mut Tensor;

    pub(crate) fn ggml_backend_alloc_ctx_tensors_from_buft(context: *mut Context, kind: *mut BufferType)
    -> *mut Buffer;
    pub(crate) fn ggml_backend_buffer_free(buffer: *mut Buffer);
    pub(crate) fn ggml_backend_buft_name(kind: *mut BufferType) -> *const c_char;
    pub(crate) fn ggml_backend_tensor_set(tensor: *mut Tensor, data: *const c_void, offset: usize, size: usize);
    pub(crate) fn ggml_backend_tensor_get(tensor: *const Tensor, data: *mut c_void, offset: usize, size: usize);
    pub(crate) fn ggml_backend_graph_compute(backend: *mut Backend, graph: *mut Graph) -> c_int;
    pub(crate) fn ggml_backend_supports_op(backend: *mut Backend, op: *const Tensor) -> bool;
    pub(crate) fn ggml_backend_free(backend: *mut Backend);
    pub(crate) fn ggml_backend_reg_dev_get(registry: *mut Registry, index: usize) -> *mut Device;
    pub(crate) fn ggml_backend_reg_get_proc_address(registry: *mut Registry, name: *const c_char) -> *mut c_void;

    pub(crate) fn ggml_backend_cpu_buffer_type() -> *mut BufferType;
    pub(crate) fn ggml_backend_cpu_init() -> *mut Backend;
    pub(crate) fn ggml_backend_cpu_reg() -> *mut Registry;
    pub(crate) fn ggml_backend_cpu_set_n_threads(backend: *mut Backend, threads: c_int);
    pub(crate) fn ggml_backend_cpu_set_threadpool(backend: *mut Backend, pool: *mut ThreadPool);
    pub(crate) fn ggml_threadpool_params_default(threads: c_int) -> ThreadPoolParams;
    pub(crate) fn ggml_threadpool_new(params: *mut ThreadPoolParams) -> *mut ThreadPool;
    pub(crate) fn ggml_threadpool_free(pool: *mut ThreadPool);
    pub(crate) fn ggml_threadpool_pause(pool: *mut ThreadPool);
    pub(crate) fn ggml_threadpool_resume(pool: *mut ThreadPool);
}
