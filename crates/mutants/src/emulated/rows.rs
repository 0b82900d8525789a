//! Host kernels of running sums, order, groups of channels and convolution.

use unisono_core::op::{Conv1d, Conv2d, CumSum, GroupNorm, Im2Col, TopK};

use super::{Fault, Host, T};

impl Host {
    pub(crate) fn product(&self, terms: &[f32]) -> f32 {
        let terms = if self.has(Fault::DropLastTerm) { &terms[..terms.len().saturating_sub(1)] } else { terms };
        terms.iter().fold(1.0, |p, &x| self.f(p * self.f(x)))
    }

    /// Each element as a sum of its own.
    pub(crate) fn cumsum(&self, op: &CumSum, x: &T) -> T {
        let (n, inner) = (x.shape[op.axis], x.shape[op.axis + 1..].iter().product::<usize>());
        let reverse = op.reverse != self.has(Fault::WrongDirection);
        let exclusive = op.exclusive != self.has(Fault::ExclusiveOffByOne);
        let element = |e: usize| {
            let (first, i) = (e - e / inner % n * inner, e / inner % n);
            let range = match (reverse, exclusive) {
                (false, false) => 0..i + 1,
                (false, true) => 0..i,
                (true, false) => i..n,
                (true, true) => i + 1..n,
            };
            self.sum(&range.map(|j| x.x[first + j * inner]).collect::<Vec<_>>())
        };
        T { shape: x.shape.clone(), x: (0..x.x.len()).map(element).collect() }
    }

    fn sorted(&self, row: &[f32], descending: bool) -> Vec<usize> {
        let mut order: Vec<usize> = (0..row.len()).collect();
        if self.has(Fault::LastOfTies) {
            order.reverse();
        }
        order.sort_by(|&a, &b| {
            let order = row[a].partial_cmp(&row[b]).expect("no NaN");
            if descending { order.reverse() } else { order }
        });
        order
    }

    pub(crate) fn argsort(&self, x: &T, descending: bool) -> T {
        let y = (0..x.rows()).flat_map(|i| self.sorted(x.row(i), descending)).map(|i| i as f32).collect();
        T { shape: x.shape.clone(), x: y }
    }

    pub(crate) fn topk(&self, op: &TopK, x: &T) -> [T; 2] {
        let descending = op.smallest == self.has(Fault::WrongDirection);
        let mut shape = x.shape.clone();
        shape.pop();
        shape.push(op.k);
        let (mut values, mut indices) = (Vec::new(), Vec::new());
        for i in 0..x.rows() {
            for j in self.sorted(x.row(i), descending).into_iter().take(op.k) {
                values.push(x.row(i)[j]);
                indices.push(j as f32);
            }
        }
        [T { shape: shape.clone(), x: values }, T { shape, x: indices }]
    }

    pub(crate) fn group_norm(&self, op: &GroupNorm, x: &[T]) -> T {
        let weight = x.get(1).filter(|_| op.weight);
        let bias = x.get(1 + usize::from(op.weight)).filter(|_| op.bias);
        let x = &x[0];
        let positions: usize = x.shape[2..].iter().product();
        let groups = if self.has(Fault::WrongGroup) { 1 } else { op.groups };
        let n = x.shape[1] / groups * positions;
        let mut y = Vec::new();
        for group in x.x.chunks(n.max(1)) {
            let mean = self.sum(group) / n as f32;
            let variance = if self.has(Fault::OnePassVariance) {
                self.dot(group.iter().copied(), group.iter().copied()) / n as f32 - mean * mean
            } else {
                self.dot(group.iter().map(|x| x - mean), group.iter().map(|x| x - mean)) / n as f32
            };
            let r = 1.0 / (variance + op.eps.0).sqrt();
            for x_i in group {
                let channel = y.len() / positions % x.shape[1];
                let (w, b) = (weight.map_or(1.0, |t| t.x[channel]), bias.map_or(0.0, |t| t.x[channel]));
                y.push(self.f((x_i - mean) * r * w + b));
            }
        }
        T { shape: x.shape.clone(), x: y }
    }

    pub(crate) fn l2_norm(&self, x: &T, eps: f32) -> T {
        let eps = if self.has(Fault::NoEps) { 1e-30 } else { eps };
        let mut y = Vec::new();
        for i in 0..x.rows() {
            let length = self.dot(x.row(i).iter().copied(), x.row(i).iter().copied()).sqrt().max(eps);
            y.extend(x.row(i).iter().map(|x| self.f(x / length)));
        }
        T { shape: x.shape.clone(), x: y }
    }

    /// The element of a plane that window `o` sees at place `k` of the kernel.
    fn seen(&self, op: &Im2Col, size: &[usize], o: [usize; 2], k: [usize; 2]) -> Option<usize> {
        let mut at = [0; 2];
        for d in 0..2 {
            let dilation = if self.has(Fault::NoDilation) { 1 } else { op.dilation[d] };
            let padding = op.padding[d] + usize::from(self.has(Fault::PaddingOffByOne));
            at[d] = (o[d] * op.stride[d] + k[d] * dilation).checked_sub(padding).filter(|&i| i < size[d])?;
        }
        Some(at[0] * size[1] + at[1])
    }

    pub(crate) fn im2col(&self, op: &Im2Col, x: &T) -> T {
        let size = &x.shape[2..];
        let [oh, ow] = op.windows([size[0], size[1]]).expect("windows");
        let ([kh, kw], plane) = (op.kernel, size[0] * size[1]);
        let shape = vec![x.shape[0], x.shape[1] * kh * kw, oh * ow];
        let element = |e: usize| {
            let (row, pixel) = (e / (oh * ow), e % (oh * ow));
            let seen = self.seen(op, size, [pixel / ow, pixel % ow], [row / kw % kh, row % kw]);
            seen.map_or(0.0, |at| x.x[row / (kh * kw) * plane + at])
        };
        let x = (0..shape.iter().product()).map(element).collect();
        T { shape, x }
    }

    pub(crate) fn conv2d(&self, op: &Conv2d, x: &[T]) -> T {
        let (image, weight) = (&x[0], &x[1]);
        let bias = x.get(2).filter(|_| op.bias && !self.has(Fault::NoBias));
        let [outputs, per_group, kh, kw] = [0, 1, 2, 3].map(|d| weight.shape[d]);
        let (size, channels) = (&image.shape[2..], image.shape[1]);
        let columns = op.columns([kh, kw]);
        let [oh, ow] = columns.windows([size[0], size[1]]).expect("windows");
        let shape = vec![image.shape[0], outputs, oh, ow];
        let element = |e: usize| {
            let (b, o, pixel) = (e / (outputs * oh * ow), e / (oh * ow) % outputs, e % (oh * ow));
            let group = if self.has(Fault::WrongGroup) { o % op.groups } else { o / (outputs / op.groups) };
            let mut terms = Vec::new();
            for (t, w) in weight.row_of(o).iter().enumerate() {
                let (c, k) = (t / (kh * kw), [t / kw % kh, t % kw]);
                let plane = (b * channels + group * per_group + c) * size[0] * size[1];
                let seen = self.seen(&columns, size, [pixel / ow, pixel % ow], k);
                terms.push(seen.map_or(0.0, |at| image.x[plane + at]) * w);
            }
            let sum = self.sum(&terms);
            self.f(sum + bias.map_or(0.0, |t| t.x[o]))
        };
        let x = (0..shape.iter().product()).map(element).collect();
        T { shape, x }
    }

    pub(crate) fn conv1d(&self, op: &Conv1d, x: &[T]) -> T {
        let flat = |t: &T| {
            let mut shape = t.shape.clone();
            if shape.len() == 3 {
                shape.insert(2, 1);
            }
            T { shape, x: t.x.clone() }
        };
        let y = self.conv2d(&op.as_2d(), &x.iter().map(flat).collect::<Vec<_>>());
        T { shape: vec![y.shape[0], y.shape[1], y.shape[3]], x: y.x }
    }
}

impl T {
    /// The elements with index `i` in the first dimension.
    fn row_of(&self, i: usize) -> &[f32] {
        let n: usize = self.shape[1..].iter().product();
        &self.x[i * n..(i + 1) * n]
    }
}
