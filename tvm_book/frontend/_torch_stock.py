"""The operators that are left to TVM's own importer.

Its converters are used one by one, not wholesale, since several ignore arguments in silence.
Every name here is run against torch by the tests.
"""

from __future__ import annotations

STOCK = frozenset(
    """
    _adaptive_avg_pool2d.default _adaptive_avg_pool3d.default _local_scalar_dense.default
    _log_softmax.default _native_batch_norm_legit.no_stats _softmax.default abs.default
    acos.default acosh.default adaptive_avg_pool1d.default adaptive_avg_pool2d.default any.dim
    any.dims arange.start_step argmax.default argmin.default asin.default asinh.default
    atan.default atan2.default atanh.default bitwise_and.Scalar bitwise_and.Tensor
    bitwise_not.default bitwise_or.Scalar bitwise_or.Tensor bitwise_xor.Tensor bucketize.Tensor
    cat.default ceil.default clamp.Tensor constant_pad_nd.default copy.default cos.default
    cosh.default cumprod.default cumsum.default diagonal.default empty.memory_format
    empty_permuted.default erf.default exp.default expm1.default flip.default floor.default
    fmod.Scalar fmod.Tensor full.default full_like.default gather.default gelu.default
    isinf.default isnan.default leaky_relu.default linalg_vector_norm.default log.default
    log10.default log1p.default log2.default logical_and.default logical_not.default
    logical_or.default logical_xor.default max.default max.dim mean.default mean.dim median.dim
    min.default neg.default permute.default pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor
    prod.default reciprocal.default relu.default remainder.Scalar remainder.Tensor
    repeat.default round.default round.decimals rsqrt.default scatter.src
    scatter.value sigmoid.default sign.default sin.default sinh.default slice.Tensor
    slice_scatter.default sort.default split_with_sizes.default sqrt.default sum.dim_IntList
    tan.default tanh.default topk.default trunc.default unsqueeze.default where.self
    """.split()
)
