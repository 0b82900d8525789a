//! The ways in which an emulated kernel can be wrong.

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The last term of a sum is not added.
    DropLastTerm,
    /// Sums are kept in f16.
    HalfAccumulator,
    /// Operands of products pass through f16.
    StageInHalf,
    /// The last element of an output is never written.
    LastElementMissing,
    /// The two operands change places.
    SwapOperands,
    /// Scores are not scaled.
    Unscaled,
    /// Heads of queries share the wrong heads of keys.
    WrongHead,
    /// One key too many is seen.
    MaskOffByOne,
    /// The mask is not read.
    IgnoreMask,
    /// The maximum is not subtracted, or starts at zero.
    NoMaximum,
    /// The variance is mean x² − μ².
    OnePassVariance,
    /// The eps of a norm is left out.
    NoEps,
    /// A sum is not divided by the number of its terms.
    SumForMean,
    /// `add_rms_norm` normalises its first operand in place of the sum.
    NormOfInput,
    /// A rope pairs the wrong elements.
    WrongPairing,
    /// A rope turns the other way; a power forgets the sign of its base.
    WrongSign,
    /// Indices out of range are clamped to the range.
    ClampIndex,
    /// Of equal elements the last one wins.
    LastOfTies,
    /// 16-bit results are cut off; a floor rounds toward zero.
    Truncate,
    /// tanh is a quotient of exponentials that overflow.
    TanhByExponentials,
    /// gelu uses the approximation by tanh; erf is not careful near 0.
    TanhForErf,
    /// The bias is left out.
    NoBias,
    /// The residual is added before the activation.
    ResidualFirst,
    /// A concatenation takes its parts from the end.
    BackwardAxis,
    /// Ties round away from zero.
    RoundAway,
    /// The window has one key too many.
    WindowOffByOne,
    /// The mask is added before the softcap.
    MaskBeforeCap,
    /// The share of a sink goes to the last key.
    SinkHasValue,
    /// The sink of another head is used.
    WrongSink,
    /// The sink is left out.
    NoSink,
    /// The block table is not read.
    WrongPage,
    /// The sequence of a query is taken for its batch.
    WrongSequence,
    /// A masked element of a log softmax is 0.
    MaskedLogIsZero,
    /// A row of a cache is divided by the size of a page.
    WrongRow,
    /// A running sum has a term too many or too few.
    ExclusiveOffByOne,
    /// A running sum or a sort goes the other way.
    WrongDirection,
    /// Channels belong to the wrong group.
    WrongGroup,
    /// The dilation is taken for 1.
    NoDilation,
    /// The padding is one larger.
    PaddingOffByOne,
    /// A NaN is passed over where numbers are compared.
    LosesNan,
    /// The quotient of a remainder is rounded to f32.
    RoundedQuotient,
}
