//! Faults of the CPU backend: wrong kernels on the host, other programs, harm to memory, broken
//! promises.

use crate::emulated::Fault as Kernel;
use crate::fault::{Fault, Place};
use crate::host::{Contract, Damage, HostFault, Rewrite};

const OVER: &str = "over the bound";

/// Name, class, case pattern, words of the reason, what is wrong, fault.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, HostFault);

const fn program(
    name: &'static str,
    class: &'static str,
    cases: &'static str,
    about: &'static str,
    fault: Rewrite,
) -> Row {
    (name, class, cases, OVER, about, HostFault::Rewrite(fault))
}

const fn harm(
    name: &'static str,
    class: &'static str,
    cases: &'static str,
    reason: &'static str,
    about: &'static str,
    fault: Damage,
) -> Row {
    (name, class, cases, reason, about, HostFault::Damage(fault))
}

const fn promise(
    name: &'static str,
    cases: &'static str,
    reason: &'static str,
    about: &'static str,
    fault: Contract,
) -> Row {
    (name, "broken contract", cases, reason, about, HostFault::Contract(fault))
}

const ROWS: &[Row] = &[
    program(
        "cpu.matmul.drops-last-k",
        "dropped k",
        "matmul/*exact*",
        "adds one term too few",
        Rewrite::MatMulDropsLastK,
    ),
    program("cpu.linear.drops-last-k", "dropped k", "linear/", "adds one term too few", Rewrite::LinearDropsLastK),
    program(
        "cpu.matmul.ignores-strides",
        "wrong stride or offset",
        "matmul/",
        "reads the first operand as contiguous",
        Rewrite::IgnoresStrides,
    ),
    program(
        "cpu.copy.ignores-strides",
        "wrong stride or offset",
        "copy/",
        "reads the operand as contiguous",
        Rewrite::IgnoresStrides,
    ),
    program(
        "cpu.add.ignores-offset",
        "wrong stride or offset",
        "add/",
        "reads from the start of the buffer",
        Rewrite::IgnoresOffset,
    ),
    program(
        "cpu.softmax.ignores-offset",
        "wrong stride or offset",
        "softmax/",
        "reads from the start of the buffer",
        Rewrite::IgnoresOffset,
    ),
    program("cpu.rms_norm.no-eps", "wrong parameter", "rms_norm/", "the eps is left out", Rewrite::RmsNormWithoutEps),
    program(
        "cpu.layer_norm.no-eps",
        "wrong parameter",
        "layer_norm/",
        "the eps is left out",
        Rewrite::LayerNormWithoutEps,
    ),
    program(
        "cpu.rope.other-pairing",
        "wrong index",
        "rope/",
        "pairs the elements of the other convention",
        Rewrite::RopeOtherPairing,
    ),
    program(
        "cpu.attention.causal-sees-all",
        "mask off by one",
        "attention/*see=causal*",
        "a causal mask hides nothing",
        Rewrite::CausalSeesAll,
    ),
    program(
        "cpu.attention.window-longer",
        "mask off by one",
        "attention/*window=1,*",
        "the window has one key too many",
        Rewrite::WindowOffByOne,
    ),
    program(
        "cpu.attention.no-softcap",
        "wrong parameter",
        "attention/*data=large*",
        "scores are not capped",
        Rewrite::NoSoftcap,
    ),
    program(
        "cpu.attention.double-scale",
        "swapped scale",
        "attention/",
        "scores have twice their scale",
        Rewrite::DoubleScale,
    ),
    program("cpu.sub.swapped", "swapped operands", "sub/", "b − a", Rewrite::SubSwapsOperands),
    program("cpu.swiglu.swapped", "swapped operands", "swiglu/", "gate and up change places", Rewrite::GateIsUp),
    program("cpu.mean.is-sum", "wrong parameter", "mean/", "a mean is not divided", Rewrite::MeanIsSum),
    program("cpu.prod.is-sum", "wrong function", "prod/", "a product is a sum", Rewrite::ProdIsSum),
    program("cpu.gelu.is-tanh-gelu", "wrong function", "gelu/", "the approximation by tanh", Rewrite::GeluIsTanhGelu),
    program("cpu.silu.is-sigmoid", "wrong function", "silu/", "the factor x is left out", Rewrite::SiluIsSigmoid),
    program("cpu.round.is-floor", "wrong rounding", "round/", "rounds down", Rewrite::RoundIsFloor),
    program("cpu.argmax.is-argmin", "wrong function", "argmax/", "the index of the smallest", Rewrite::ArgMaxIsArgMin),
    program("cpu.cumsum.reversed", "wrong function", "cumsum/", "runs the other way", Rewrite::CumSumReversed),
    program(
        "cpu.cumsum.exclusive",
        "off-by-one in a tail",
        "cumsum/",
        "leaves its own element out, or not",
        Rewrite::CumSumExclusive,
    ),
    program("cpu.argsort.reversed", "wrong function", "argsort/", "sorts the other way", Rewrite::SortReversed),
    program("cpu.topk.smallest", "wrong function", "topk/", "keeps the other end", Rewrite::TopKSmallest),
    program("cpu.lt.is-le", "wrong tie", "lt/", "equal counts as less", Rewrite::LessIsLessEqual),
    program("cpu.and.is-or", "wrong function", "and/", "or in place of and", Rewrite::AndIsOr),
    program("cpu.clamp.shifted", "wrong parameter", "clamp/", "both bounds are one larger", Rewrite::ClampShifted),
    harm(
        "cpu.add.writes-after-end",
        "out-of-bounds write",
        "add/",
        "after its end",
        "changes the byte after the output",
        Damage::WritesAfterEnd,
    ),
    harm(
        "cpu.add.writes-far-away",
        "out-of-bounds write",
        "add/",
        "after its end",
        "changes the last byte of the buffer",
        Damage::WritesFarAway,
    ),
    harm(
        "cpu.add.writes-before-start",
        "out-of-bounds write",
        "add/",
        "before its first element",
        "changes the byte before the output",
        Damage::WritesBeforeStart,
    ),
    harm(
        "cpu.copy.writes-into-gap",
        "out-of-bounds write",
        "copy/",
        "between its elements",
        "changes a byte between strided elements",
        Damage::WritesIntoGap,
    ),
    harm(
        "cpu.mul.skips-last",
        "unwritten element",
        "mul/",
        "not written",
        "the last element is not written",
        Damage::SkipsLastElement,
    ),
    harm(
        "cpu.matmul.skips-first",
        "unwritten element",
        "matmul/",
        "not written",
        "the first element is not written",
        Damage::SkipsFirstElement,
    ),
    harm(
        "cpu.copy.skips-second-half",
        "unwritten element",
        "copy/",
        "not written",
        "the second half is not written",
        Damage::SkipsSecondHalf,
    ),
    harm(
        "cpu.softmax.skips-beyond-grid",
        "wrong grid",
        "softmax/*shape=66000*",
        "not written",
        "nothing from element 65,536 on is written",
        Damage::SkipsBeyondGrid,
    ),
    harm(
        "cpu.matmul.zero-from-row-500",
        "wrong grid",
        "matmul/plain:*m=513*",
        OVER,
        "rows from the 500th on are zero",
        Damage::ZeroFromRow500,
    ),
    harm(
        "cpu.neg.mutates-input",
        "changed input",
        "neg/",
        "wrote to its input x",
        "the first byte of the input changes",
        Damage::MutatesInput,
    ),
    harm(
        "cpu.matmul.mutates-weight",
        "changed input",
        "matmul/",
        "wrote to its input b",
        "the last byte of the weight changes",
        Damage::MutatesLastInput,
    ),
    harm(
        "cpu.silu.second-run-differs",
        "order and concurrency",
        "silu/",
        "differs from the first",
        "each second run gives another result",
        Damage::SecondRunDiffers,
    ),
    harm(
        "cpu.exp.first-run-differs",
        "order and concurrency",
        "exp/",
        OVER,
        "the first run gives another result",
        Damage::FirstRunDiffers,
    ),
    harm(
        "cpu.program.forgets-state",
        "stale read",
        "program/state",
        "differs from the host",
        "state is lost between submissions",
        Damage::ForgetsState,
    ),
    harm(
        "cpu.program.late-writes",
        "order and concurrency",
        "program/write_order",
        "differs from the host",
        "a write overtakes nothing and is overtaken",
        Damage::LateWrites,
    ),
    harm(
        "cpu.program.shared-output",
        "order and concurrency",
        "program/concurrent",
        "thread",
        "threads share a staging area",
        Damage::SharedOutput,
    ),
    harm(
        "cpu.mul.stores-contiguously",
        "wrong stride or offset",
        "mul/",
        OVER,
        "the strides of the output are not used",
        Damage::StoresContiguously,
    ),
    harm(
        "cpu.rms_norm.swaps-neighbours",
        "wrong index",
        "rms_norm/",
        OVER,
        "neighbours of the output change places",
        Damage::SwapsNeighbours,
    ),
    promise(
        "cpu.claims-composites",
        "swiglu/",
        "supports() answers",
        "says composed of what is native",
        Contract::ClaimsComposites,
    ),
    promise(
        "cpu.declines-but-compiles",
        "tanh/",
        "compile() accepts",
        "declines tanh, and compiles it",
        Contract::DeclinesButCompiles,
    ),
    promise(
        "cpu.other-kernel-than-named",
        "sigmoid/",
        "asked for the kernel",
        "names a kernel that is not the one that runs",
        Contract::OtherKernelThanNamed,
    ),
    promise("cpu.panics", "exp/", "panicked", "a submission panics", Contract::Panics),
    promise("cpu.fails-to-submit", "exp/", "no submission today", "a submission fails", Contract::FailsToSubmit),
];

/// Operation, fault of its kernel, short name, class; the cases of the operation that have to see it.
type KernelRow = (&'static str, Kernel, &'static str, &'static str, &'static str);

const KERNELS: &[KernelRow] = &[
    ("matmul", Kernel::HalfAccumulator, "f16-accumulator", "f16 accumulator", ""),
    ("matmul", Kernel::StageInHalf, "staged-in-f16", "f16 staging", ""),
    ("matmul_id", Kernel::HalfAccumulator, "f16-accumulator", "f16 accumulator", ""),
    ("matmul_id", Kernel::DropLastTerm, "drops-last-term", "dropped k", ""),
    ("matmul_id", Kernel::ClampIndex, "clamps-index", "wrong index", ""),
    ("linear", Kernel::HalfAccumulator, "f16-accumulator", "f16 accumulator", ""),
    ("linear", Kernel::NoBias, "no-bias", "wrong parameter", ""),
    ("linear", Kernel::ResidualFirst, "residual-first", "wrong function", ""),
    ("linear", Kernel::TanhByExponentials, "tanh-by-exponentials", "unstable formula", ""),
    ("attention", Kernel::Unscaled, "unscaled", "swapped scale", ""),
    ("attention", Kernel::WrongHead, "wrong-head", "wrong head mapping", ""),
    ("attention", Kernel::WrongSink, "sink-of-other-head", "wrong head mapping", "*sinks=3*"),
    ("attention", Kernel::MaskOffByOne, "one-key-more", "mask off by one", ""),
    ("attention", Kernel::IgnoreMask, "ignores-mask", "mask off by one", ""),
    ("attention", Kernel::NoMaximum, "no-maximum", "unstable formula", ""),
    ("attention", Kernel::HalfAccumulator, "f16-accumulator", "f16 accumulator", ""),
    ("attention", Kernel::MaskBeforeCap, "mask-before-cap", "wrong function", "*mask=random*"),
    ("attention", Kernel::SinkHasValue, "sink-has-value", "wrong function", "*sinks=3*"),
    ("attention", Kernel::NoSink, "no-sink", "wrong parameter", "*sinks=3*"),
    ("attention", Kernel::WrongPage, "ignores-block-table", "stale read", "*lengths=*"),
    ("attention", Kernel::WrongSequence, "sequence-is-batch", "wrong index", "*lengths=*"),
    ("softmax", Kernel::Unscaled, "unscaled", "swapped scale", ""),
    ("softmax", Kernel::MaskOffByOne, "one-column-more", "mask off by one", ""),
    ("softmax", Kernel::IgnoreMask, "ignores-mask", "mask off by one", ""),
    ("softmax", Kernel::NoMaximum, "no-maximum", "unstable formula", ""),
    ("softmax", Kernel::DropLastTerm, "drops-last-term", "off-by-one in a tail", ""),
    ("log_softmax", Kernel::MaskedLogIsZero, "masked-is-zero", "mask off by one", ""),
    ("rms_norm", Kernel::SumForMean, "sum-for-mean", "wrong parameter", ""),
    ("rms_norm", Kernel::StageInHalf, "squares-in-f16", "f16 staging", ""),
    ("layer_norm", Kernel::OnePassVariance, "one-pass-variance", "one-pass variance", ""),
    ("group_norm", Kernel::OnePassVariance, "one-pass-variance", "one-pass variance", ""),
    ("group_norm", Kernel::WrongGroup, "wrong-group", "wrong index", ""),
    ("add_rms_norm", Kernel::NormOfInput, "norm-of-input", "swapped operands", ""),
    ("l2_norm", Kernel::NoEps, "no-eps", "wrong parameter", ""),
    ("rope", Kernel::WrongSign, "turns-back", "wrong function", ""),
    ("rope", Kernel::ClampIndex, "clamps-position", "wrong index", ""),
    ("rope_write", Kernel::WrongRow, "row-by-page", "wrong index", ""),
    ("gather_rows", Kernel::ClampIndex, "clamps-index", "wrong index", ""),
    ("scatter_rows", Kernel::ClampIndex, "clamps-index", "wrong index", ""),
    ("copy", Kernel::Truncate, "truncates", "wrong rounding", ""),
    ("concat", Kernel::BackwardAxis, "backwards", "swapped operands", ""),
    ("tanh", Kernel::TanhByExponentials, "by-exponentials", "unstable formula", ""),
    ("gelu_tanh", Kernel::TanhByExponentials, "by-exponentials", "unstable formula", ""),
    ("softplus", Kernel::NoMaximum, "overflows", "unstable formula", ""),
    ("round", Kernel::RoundAway, "ties-away", "wrong tie", ""),
    ("pow", Kernel::WrongSign, "forgets-sign", "wrong function", ""),
    ("sum", Kernel::HalfAccumulator, "f16-accumulator", "f16 accumulator", ""),
    ("sum", Kernel::DropLastTerm, "drops-last-term", "dropped k", ""),
    ("max", Kernel::NoMaximum, "starts-at-zero", "wrong parameter", ""),
    ("argmax", Kernel::LastOfTies, "last-of-ties", "wrong tie", ""),
    ("argmin", Kernel::LastOfTies, "last-of-ties", "wrong tie", ""),
    ("topk", Kernel::LastOfTies, "last-of-ties", "wrong tie", ""),
    ("argsort", Kernel::LastOfTies, "last-of-ties", "wrong tie", ""),
    ("max", Kernel::LosesNan, "loses-nan", "lost NaN", "nan"),
    ("min", Kernel::LosesNan, "loses-nan", "lost NaN", "nan"),
    ("argmax", Kernel::LosesNan, "passes-nan-over", "lost NaN", "nan"),
    ("argmin", Kernel::LosesNan, "passes-nan-over", "lost NaN", "nan"),
    ("topk", Kernel::LosesNan, "nan-is-zero", "lost NaN", "nan"),
    ("argsort", Kernel::LosesNan, "nan-is-zero", "lost NaN", "nan"),
    ("minimum", Kernel::LosesNan, "loses-nan", "lost NaN", "nan"),
    ("maximum", Kernel::LosesNan, "loses-nan", "lost NaN", "nan"),
    ("clamp", Kernel::LosesNan, "nan-is-a-limit", "lost NaN", "nan"),
    ("relu", Kernel::LosesNan, "nan-is-zero", "lost NaN", "nan"),
    ("rem", Kernel::RoundedQuotient, "rounds-the-quotient", "unstable formula", "values"),
    ("im2col", Kernel::NoDilation, "no-dilation", "wrong stride or offset", ""),
    ("im2col", Kernel::PaddingOffByOne, "padding-off-by-one", "off-by-one in a tail", ""),
    ("conv1d", Kernel::NoDilation, "no-dilation", "wrong stride or offset", ""),
    ("conv2d", Kernel::WrongGroup, "wrong-group", "wrong index", ""),
    ("conv2d", Kernel::PaddingOffByOne, "padding-off-by-one", "off-by-one in a tail", ""),
];

/// All of them.
pub(super) fn faults() -> Vec<Fault> {
    let row = |&(name, class, cases, reason, about, host): &Row| {
        fault(name.to_owned(), class, cases.to_owned(), reason, about.to_owned(), host)
    };
    let kernel = |&(op, wrong, name, class, cases): &KernelRow| {
        let about = format!("the kernel of {op}: {}", name.replace('-', " "));
        fault(format!("cpu.{op}.{name}"), class, format!("{op}/{cases}"), OVER, about, HostFault::Kernel(op, wrong))
    };
    ROWS.iter().map(row).chain(KERNELS.iter().map(kernel)).collect()
}

fn fault(name: String, class: &str, cases: String, reason: &str, about: String, host: HostFault) -> Fault {
    Fault {
        name,
        class: class.to_owned(),
        about,
        cases: vec![cases],
        kernel: None,
        reason: reason.to_owned(),
        place: Place::Host(host),
        file: None,
    }
}
