//! ggml's CPU backend: a graph of the row's operation for each copy of its weights, computed by a
//! pool of threads that lives as long as the graphs, as in llama.cpp.
//!
//! Weights in block formats are tried as they are and in the interleaved layout that ggml makes of
//! them at load (its buffer type `CPU_REPACK`), where it has one for the format and the processor.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use anyhow::{Context, Result, bail, ensure};
use unisono::DType;

use crate::data::{Data, EPS, ROPE_BASE};
use crate::ggml_sys as sys;
use crate::measure::{Entry, Runner};
use crate::row::{Function, Norm, Row, Work};

type TensorPtr = *mut sys::Tensor;

/// The version of the sources.
pub(crate) fn version() -> String {
    // SAFETY: the function returns a static string that ends with a zero.
    let version = unsafe { CStr::from_ptr(sys::ggml_version()) };
    format!("{} (llama-cpp-sys-2 0.1.161)", version.to_string_lossy())
}

/// Descriptions of tensors and graphs; a buffer holds the tensors' elements.
struct Arena {
    context: *mut sys::Context,
    buffer: *mut sys::Buffer,
}

impl Arena {
    /// Room for `tensors` tensors and `graphs` small graphs.
    fn new(tensors: usize, graphs: usize) -> Result<Arena> {
        // SAFETY: these read constants and allocate.
        let context = unsafe {
            let graph = sys::ggml_graph_overhead_custom(GRAPH_NODES, false);
            let mem_size = tensors * sys::ggml_tensor_overhead() + graphs * graph;
            sys::ggml_init(sys::InitParams { mem_size, mem_buffer: null_mut(), no_alloc: true })
        };
        ensure!(!context.is_null(), "ggml has no memory for descriptions");
        Ok(Arena { context, buffer: null_mut() })
    }

    /// A tensor whose first dimension is the innermost.
    fn tensor(&self, kind: sys::Type, shape: &[usize]) -> TensorPtr {
        let sizes: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        // SAFETY: the context is alive, `sizes` has as many numbers as are announced.
        unsafe { sys::ggml_new_tensor(self.context, kind, sizes.len() as i32, sizes.as_ptr()) }
    }

    /// Memory of type `kind` for all tensors described so far.
    fn allocate(&mut self, kind: *mut sys::BufferType) -> Result<()> {
        // SAFETY: the context is alive; the buffer is freed with the arena.
        self.buffer = unsafe { sys::ggml_backend_alloc_ctx_tensors_from_buft(self.context, kind) };
        ensure!(!self.buffer.is_null(), "ggml has no memory for tensors");
        Ok(())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: both were made by ggml, or are null, which it accepts, and nobody uses them any
        // more: whoever holds tensors holds their arenas.
        unsafe {
            sys::ggml_backend_buffer_free(self.buffer);
            sys::ggml_free(self.context);
        }
    }
}

/// Nodes that a graph here has at most.
const GRAPH_NODES: usize = 8;

/// Writes all elements of an allocated tensor.
fn write(tensor: TensorPtr, bytes: &[u8]) -> Result<()> {
    // SAFETY: the tensor is alive and has memory; the sizes are equal, as checked.
    unsafe {
        let size = sys::ggml_nbytes(tensor);
        ensure!(size == bytes.len(), "{} bytes for a tensor of {size}", bytes.len());
        sys::ggml_backend_tensor_set(tensor, bytes.as_ptr().cast::<c_void>(), 0, size);
    }
    Ok(())
}

/// The backend with its threads.
struct Engine {
    backend: *mut sys::Backend,
    pool: *mut sys::ThreadPool,
}

/// Messages about every tensor that is interleaved would hide the table.
unsafe extern "C" fn ignore(_level: c_int, _text: *const c_char, _data: *mut c_void) {}

impl Engine {
    fn new(threads: usize) -> Result<Engine> {
        // SAFETY: the pool outlives the backend, see `drop`.
        let engine = unsafe {
            sys::ggml_log_set(Some(ignore), null_mut());
            let backend = sys::ggml_backend_cpu_init();
            let mut params = sys::ggml_threadpool_params_default(threads as i32);
            let pool = sys::ggml_threadpool_new(&mut params);
            Engine { backend, pool }
        };
        ensure!(!engine.backend.is_null() && !engine.pool.is_null(), "ggml's CPU backend does not start");
        // SAFETY: both are alive.
        unsafe {
            sys::ggml_backend_cpu_set_n_threads(engine.backend, threads as i32);
            sys::ggml_backend_cpu_set_threadpool(engine.backend, engine.pool);
            sys::ggml_threadpool_pause(engine.pool);
        }
        Ok(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: both were made by ggml or are null, which it accepts.
        unsafe {
            sys::ggml_backend_free(self.backend);
            sys::ggml_threadpool_free(self.pool);
        }
    }
}

struct Ggml {
    graphs: Vec<(*mut sys::Graph, TensorPtr)>,
    at: usize,
    /// Heads and tokens to exchange in the result.
    exchange: Option<[usize; 3]>,
    engine: Engine,
    /// What the graphs point into.
    _arenas: [Arena; 2],
}

impl Runner for Ggml {
    fn run(&mut self, iterations: usize) -> Result<()> {
        for _ in 0..iterations {
            self.at = (self.at + 1) % self.graphs.len();
            // SAFETY: the graph, its tensors and the backend are alive.
            let status = unsafe { sys::ggml_backend_graph_compute(self.engine.backend, self.graphs[self.at].0) };
            ensure!(status == sys::SUCCESS, "status {status}");
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f32>>> {
        let tensor = self.graphs[self.at].1;
        // SAFETY: the tensor is alive and allocated; the vector has its size.
        let values = unsafe {
            let mut values = vec![0f32; sys::ggml_nelements(tensor) as usize];
            let bytes = size_of_val(&values[..]);
            ensure!(bytes == sys::ggml_nbytes(tensor), "the result is not f32");
            sys::ggml_backend_tensor_get(tensor, values.as_mut_ptr().cast::<c_void>(), 0, bytes);
            values
        };
        let Some([heads, tokens, dim]) = self.exchange else { return Ok(Some(values)) };
        let place = |h: usize, t: usize| (t * heads + h) * dim;
        let order = (0..heads).flat_map(|h| (0..tokens).map(move |t| (h, t)));
        Ok(Some(order.flat_map(|(h, t)| values[place(h, t)..][..dim].to_vec()).collect()))
    }

    fn wake(&mut self) {
        // SAFETY: the pool is alive.
        unsafe { sys::ggml_threadpool_resume(self.engine.pool) };
    }

    fn rest(&mut self) {
        // SAFETY: the pool is alive.
        unsafe { sys::ggml_threadpool_pause(self.engine.pool) };
    }
}

/// ggml in every row, twice where it has an interleaved layout.
pub(crate) fn prepare(row: &Row, data: &Data, threads: usize) -> Result<Vec<Entry>> {
    // SAFETY: the function returns a static object.
    let plain = unsafe { sys::ggml_backend_cpu_buffer_type() };
    let blocks = matches!(row.work, Work::Product { dtype, .. } if dtype.is_block());
    let mut all = Vec::new();
    all.extend(build(row, data, threads, plain)?.map(|g| Entry::new("ggml", if blocks { "plain" } else { "" }, g)));
    if blocks {
        let repacked = repack_type().context("ggml has no interleaved layouts")?;
        all.extend(build(row, data, threads, repacked)?.map(|g| Entry::new("ggml", "repacked", g)));
    }
    Ok(all)
}

/// The buffer type that stores weights interleaved.
fn repack_type() -> Option<*mut sys::BufferType> {
    // SAFETY: the registry and its device are static; the function has the type that ggml
    // documents for this name, and its list ends with a null pointer.
    unsafe {
        let registry = sys::ggml_backend_cpu_reg();
        let device = sys::ggml_backend_reg_dev_get(registry, 0);
        let address = sys::ggml_backend_reg_get_proc_address(registry, c"ggml_backend_dev_get_extra_bufts".as_ptr());
        if address.is_null() {
            return None;
        }
        type List = unsafe extern "C" fn(*mut sys::Device) -> *mut *mut sys::BufferType;
        let list = std::mem::transmute::<*mut c_void, List>(address);
        let mut at = list(device);
        while !at.is_null() && !(*at).is_null() {
            if CStr::from_ptr(sys::ggml_backend_buft_name(*at)) == c"CPU_REPACK" {
                return Some(*at);
            }
            at = at.add(1);
        }
        None
    }
}

/// The row with its weights in memory of type `kind`, or `None` where that does not take them.
fn build(row: &Row, data: &Data, threads: usize, kind: *mut sys::BufferType) -> Result<Option<Ggml>> {
    // SAFETY: the function returns a static object.
    let plain = unsafe { sys::ggml_backend_cpu_buffer_type() };
    let copies = row.copies();
    let mut stored = Arena::new(2 * copies + 1, 0)?;
    let weights: Vec<[TensorPtr; 2]> = (0..copies).map(|_| weights(&row.work, &stored)).collect::<Result<_>>()?;
    if !weights[0][0].is_null() {
        stored.allocate(kind)?;
    }
    let mut rest = Arena::new(6 + 4 * copies, copies)?;
    let inputs = Inputs::new(&row.work, &rest);
    let mut graphs = Vec::new();
    for &pair in &weights {
        let result = inputs.compute(&row.work, rest.context, pair);
        // SAFETY: the context is alive and has room for the graph.
        let graph = unsafe {
            let graph = sys::ggml_new_graph_custom(rest.context, GRAPH_NODES, false);
            sys::ggml_build_forward_expand(graph, result);
            graph
        };
        graphs.push((graph, result));
    }
    rest.allocate(plain)?;
    let engine = Engine::new(threads)?;
    // SAFETY: backend and result are alive. The backend says whether it takes the weight as stored.
    if !graphs.iter().all(|(_, result)| unsafe { sys::ggml_backend_supports_op(engine.backend, *result) }) {
        return Ok(None);
    }
    for &[a, b] in weights.iter().filter(|w| !w[0].is_null()) {
        write(a, &data.weight)?;
        if !b.is_null() {
            write(b, &data.values)?;
        }
    }
    inputs.fill(&row.work, data)?;
    let exchange = match row.work {
        Work::Attention { heads, tokens, dim, .. } => Some([heads, tokens, dim]),
        _ => None,
    };
    Ok(Some(Ggml { graphs, at: 0, exchange, engine, _arenas: [stored, rest] }))
}

/// The rotating operands: a weight, or keys and values, or nothing.
fn weights(work: &Work, arena: &Arena) -> Result<[TensorPtr; 2]> {
    Ok(match *work {
        Work::Product { dtype, n, k, .. } => [arena.tensor(kind(dtype)?, &[k, n]), null_mut()],
        Work::Attention { dtype, kv_heads, kv, dim, .. } => {
            let side = || Ok::<_, anyhow::Error>(arena.tensor(kind(dtype)?, &[dim, kv, kv_heads]));
            [side()?, side()?]
        }
        _ => [null_mut(); 2],
    })
}

/// The operands that stay.
struct Inputs {
    x: TensorPtr,
    /// Factors and biases, a mask, positions: what the work has.
    more: [TensorPtr; 2],
}

impl Inputs {
    fn new(work: &Work, arena: &Arena) -> Inputs {
        let f32s = |shape: &[usize]| arena.tensor(sys::F32, shape);
        let none = [null_mut(); 2];
        let (x, more) = match *work {
            Work::Product { m, k, .. } => (f32s(&[k, m]), none),
            Work::Attention { heads, tokens, kv, dim, causal, .. } => {
                let mask = if causal { arena.tensor(sys::F16, &[kv, tokens]) } else { null_mut() };
                (f32s(&[dim, tokens, heads]), [mask, null_mut()])
            }
            Work::Norm { norm: Norm::Softmax, shape: [a, b, c] } => (f32s(&[c, b, a]), none),
            Work::Norm { shape: [a, b, c], .. } => (f32s(&[c, b, a]), [f32s(&[c]), f32s(&[c])]),
            Work::Function { rows, cols, .. } => (f32s(&[cols, rows]), none),
            Work::Rope { tokens, heads, dim } => {
                (f32s(&[dim, heads, tokens]), [arena.tensor(sys::I32, &[tokens]), null_mut()])
            }
        };
        Inputs { x, more }
    }

    /// The operation on these operands.
    fn compute(&self, work: &Work, context: *mut sys::Context, [a, b]: [TensorPtr; 2]) -> TensorPtr {
        let (x, [first, second]) = (self.x, self.more);
        // SAFETY: the context has room for the tensors, and the operands are alive and have the
        // shapes that the operation asks for.
        unsafe {
            match *work {
                Work::Product { .. } => sys::ggml_mul_mat(context, a, x),
                Work::Attention { dim, .. } => {
                    let scale = 1.0 / (dim as f32).sqrt();
                    sys::ggml_flash_attn_ext(context, x, a, b, first, scale, 0.0, 0.0)
                }
                Work::Norm { norm: Norm::Softmax, .. } => sys::ggml_soft_max(context, x),
                Work::Norm { norm: Norm::Rms, .. } => {
                    sys::ggml_mul(context, sys::ggml_rms_norm(context, x, EPS), first)
                }
                Work::Norm { norm: Norm::Layer, .. } => {
                    let scaled = sys::ggml_mul(context, sys::ggml_norm(context, x, EPS), first);
                    sys::ggml_add(context, scaled, second)
                }
                Work::Function { function: Function::Silu, .. } => sys::ggml_silu(context, x),
                Work::Function { function: Function::GeluErf, .. } => sys::ggml_gelu_erf(context, x),
                Work::Function { function: Function::GeluTanh, .. } => sys::ggml_gelu(context, x),
                Work::Rope { dim, .. } => {
                    let (dims, none) = (dim as i32, null_mut());
                    let mode = sys::ROPE_NEOX;
                    sys::ggml_rope_ext(context, x, first, none, dims, mode, 0, ROPE_BASE, 1.0, 0.0, 1.0, 32.0, 1.0)
                }
            }
        }
    }

    fn fill(&self, work: &Work, data: &Data) -> Result<()> {
        write(self.x, bytemuck::cast_slice(&data.x))?;
        match *work {
            Work::Attention { tokens, kv, causal: true, .. } => {
                let seen = |t: usize, key: usize| key <= t + kv - tokens;
                let mask: Vec<half::f16> = (0..tokens * kv)
                    .map(|i| if seen(i / kv, i % kv) { half::f16::ZERO } else { half::f16::NEG_INFINITY })
                    .collect();
                let bytes: Vec<u8> = mask.iter().flat_map(|v| v.to_le_bytes()).collect();
                write(self.more[0], &bytes)
            }
            Work::Norm { norm: Norm::Rms | Norm::Layer, .. } => {
                write(self.more[0], bytemuck::cast_slice(&data.factor))?;
                write(self.more[1], bytemuck::cast_slice(&data.bias))
            }
            Work::Rope { tokens, .. } => {
                let positions: Vec<i32> = (0..tokens as i32).collect();
                write(self.more[0], bytemuck::cast_slice(&positions))
            }
            _ => Ok(()),
        }
    }
}

fn kind(dtype: DType) -> Result<sys::Type> {
    Ok(match dtype {
        DType::F32 => sys::F32,
        DType::F16 => sys::F16,
        DType::BF16 => sys::BF16,
        DType::Q4_0 => sys::Q4_0,
        DType::Q8_0 => sys::Q8_0,
        DType::Q4K => sys::Q4_K,
        DType::Q6K => sys::Q6_K,
        other => bail!("no type {other}"),
    })
}
