//! Host kernels of softmax and attention.

use unisono_core::op::{Attention, Softmax, Visibility};
use unisono_core::{DType, OpDesc};

use super::arithmetic::F;
use super::{Fault, Host, T};

impl Host {
    /// Softmax of one row; `seen` are the elements that count.
    pub(crate) fn softmax(&self, z: &[F], seen: &[bool], sink: Option<F>, log: Option<F>) -> Vec<F> {
        let sink = sink.filter(|_| !self.has(Fault::NoSink));
        let visible = || z.iter().zip(seen).filter(|(_, s)| **s).map(|(z, _)| *z);
        let max = visible().chain(sink).fold(F(f32::NEG_INFINITY), F::max);
        let max = if self.has(Fault::NoMaximum) { F(0.0) } else { max };
        let mut e: Vec<F> = z.iter().zip(seen).map(|(&z, s)| if *s { (z - max).exp() } else { F(0.0) }).collect();
        let sunk = sink.map(|s| (s - max).exp());
        let terms: Vec<F> = e.iter().copied().chain(sunk).collect();
        let sum = self.sum(&terms);
        if let (true, Some(sunk), Some(last)) = (self.has(Fault::SinkHasValue), sunk, e.last_mut()) {
            *last += sunk;
        }
        let masked = log.filter(|_| !self.has(Fault::MaskedLogIsZero)).unwrap_or(F(0.0));
        if !seen.contains(&true) {
            return vec![masked; z.len()];
        }
        if log.is_some() {
            let y = |(&z, s): (&F, &bool)| if *s { z - max - sum.ln() } else { masked };
            return z.iter().zip(seen).map(y).collect();
        }
        e.iter().map(|&e| e / sum).collect()
    }

    pub(crate) fn softmax_rows(&self, desc: &OpDesc, op: &Softmax, x: &[T]) -> T {
        let n = x[0].last();
        let at = op.inputs();
        let boolean = at.mask.is_some_and(|i| desc.inputs[i].dtype == DType::Bool);
        let lowest = match desc.outputs[0].dtype {
            DType::F16 => -65504.0,
            DType::BF16 => f32::from_bits(0xff7f_0000),
            _ => f32::MIN,
        };
        let mut y = Vec::new();
        for i in 0..x[0].rows() {
            let more = usize::from(self.has(Fault::MaskOffByOne));
            let end = at.limits.map_or(n, |l| x[l].x[i].0 as usize).saturating_add(more).min(n);
            let range = self.window(op.window, end);
            let scale = if self.has(Fault::Unscaled) { 1.0 } else { op.scale.0 };
            let (mut z, mut seen) = (Vec::new(), Vec::new());
            for (j, &value) in x[0].row(i).iter().enumerate() {
                let (sees, add) = self.mask_at(at.mask.map(|m| &x[m]), boolean, i * n + j);
                z.push(value * scale + add);
                seen.push(sees && range.contains(&j));
            }
            y.extend(self.softmax(&z, &seen, at.sinks.map(|s| x[s].x[i]), op.log.then_some(F(lowest))));
        }
        x[0].like(y)
    }

    /// The elements below `end` that count.
    pub(crate) fn window(&self, window: Option<u32>, end: usize) -> std::ops::Range<usize> {
        let more = usize::from(self.has(Fault::WindowOffByOne));
        window.map_or(0, |w| end.saturating_sub(w as usize + more))..end
    }

    /// What element `i` of a mask (boolean or additive) adds, and whether it is seen.
    pub(crate) fn mask_at(&self, mask: Option<&T>, boolean: bool, i: usize) -> (bool, F) {
        match mask.map(|m| m.x[i]) {
            Some(m) if boolean => (m != F(0.0) || self.has(Fault::IgnoreMask), F(0.0)),
            m => self.masked(m),
        }
    }

    pub(crate) fn masked(&self, mask: Option<F>) -> (bool, F) {
        match mask.filter(|_| !self.has(Fault::IgnoreMask)) {
            Some(F(f32::NEG_INFINITY)) => (false, F(0.0)),
            Some(m) => (true, m),
            None => (true, F(0.0)),
        }
    }

    pub(crate) fn attention(&self, desc: &OpDesc, op: &Attention, x: &[T]) -> T {
        let (q, k, v) = (&x[0], &x[1], &x[2]);
        let at = op.inputs();
        let input = |i: Option<usize>| i.map(|i| &x[i]);
        let (mask, limits, sinks) = (input(at.mask), input(at.limits), input(at.sinks));
        let (table, sequences) = (input(at.block_table), input(at.sequences));
        let boolean = at.mask.is_some_and(|i| desc.inputs[i].dtype == DType::Bool);
        let [heads, tokens, d] = [q.shape[1], q.shape[2], q.shape[3]];
        let [kv_heads, size, dv] = [k.shape[1], k.shape[2], v.shape[3]];
        let kv = table.map_or(size, |t| t.last() * size);
        let scale = if self.has(Fault::Unscaled) { 1.0 } else { op.scale.0 };
        let mut y = Vec::new();
        for query in 0..q.shape[0] * heads * tokens {
            let (b, h, t) = (query / (heads * tokens), query / tokens % heads, query % tokens);
            let kv_head = if self.has(Fault::WrongHead) { h % kv_heads } else { h * kv_heads / heads };
            let sequences = sequences.filter(|_| !self.has(Fault::WrongSequence));
            let cache = sequences.map_or(b, |s| s.x[b * tokens + t].0 as usize);
            let key = |j: usize| {
                let page = match table {
                    None => cache,
                    Some(_) if self.has(Fault::WrongPage) => j / size,
                    Some(table) => table.row(cache)[j / size].0 as usize,
                };
                let row = (page * kv_heads + kv_head) * size + j % size;
                (page < k.shape[0]).then_some(row)
            };
            let element = |t: &T, j: usize, width: usize, c: usize| key(j).map_or(F(0.0), |row| t.x[row * width + c]);
            let end = match op.visibility {
                _ if cache >= table.map_or(k.shape[0], |t| t.shape[0]) => 0,
                Visibility::All => kv,
                Visibility::Causal => (kv + t + 1).saturating_sub(tokens),
                Visibility::Limits => limits.map_or(kv, |l| l.x[b * tokens + t].0 as usize).min(kv),
            };
            let end = if end == 0 { 0 } else { (end + usize::from(self.has(Fault::MaskOffByOne))).min(kv) };
            let keys: Vec<usize> = self.window(op.window, end).collect();
            let (mut z, mut visible) = (Vec::new(), Vec::new());
            for &j in &keys {
                let (sees, add) = self.mask_at(mask, boolean, query * kv + j);
                let dot = self.contract(q.x[query * d..][..d].iter().copied(), (0..d).map(|c| element(k, j, d, c)));
                let early = if self.has(Fault::MaskBeforeCap) { add } else { F(0.0) };
                let capped = op.softcap.map_or(dot * scale, |cap| cap.0 * self.tanh((dot * scale + early) / cap.0));
                z.push(capped + add - early);
                visible.push(sees);
            }
            let sink = sinks.map(|s| s.x[if self.has(Fault::WrongSink) { kv_head } else { h }]);
            let p = self.softmax(&z, &visible, sink, None);
            for c in 0..dv {
                let seen = (0..keys.len()).filter(|&i| visible[i]);
                y.push(self.contract(seen.clone().map(|i| p[i]), seen.map(|i| element(v, keys[i], dv, c))));
            }
        }
        T::new(vec![q.shape[0], heads, tokens, dv], y)
    }
}
