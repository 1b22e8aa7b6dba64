"""Which functions and methods of PyTorch take NumPy's names of arguments, `axis` and `keepdims`, beside their own."""

ALIASES = {"axis": "dim", "keepdims": "keepdim"}
_METHODS = (
    "all amax amin any argmax argmin argsort chunk count_nonzero cummax cummin cumprod cumsum diff flip gather "
    "index_select log_softmax logcumsumexp logsumexp max mean median min mode nanmean nanmedian nanquantile nansum "
    "norm prod quantile repeat_interleave roll select softmax sort split squeeze std sum take_along_dim tensor_split "
    "topk unbind unsqueeze var"
)
_JOINING = "cat concat concatenate stack std_mean var_mean"
METHODS = frozenset(_METHODS.split())
FUNCTIONS = METHODS | frozenset(_JOINING.split())
