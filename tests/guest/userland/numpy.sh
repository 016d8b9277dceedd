# numpy's own tests of numbers: how many of each file pass, fail or are left out.
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
# demotic: --cpu x86-64-v3
# What asks which features the processor has is not here: Demotic's has its own.
for file in core/test_umath core/test_umath_complex core/test_umath_accuracy core/test_ufunc core/test_multiarray core/test_numeric core/test_scalarmath \
    core/test_half core/test_einsum core/test_nditer core/test_longdouble core/test_casting_unittests core/test_getlimits core/test_conversion_utils \
    core/test_scalar_methods core/test_dtype core/test_indexing core/test_arrayprint core/test_datetime core/test_function_base lib/test_function_base \
    linalg/test_linalg fft/test_pocketfft fft/test_helper random/test_generator_mt19937 random/test_random random/test_direct random/test_smoke \
    polynomial/test_polynomial ma/test_core; do
    module=numpy.${file%/*}.tests.${file#*/}
    python3 -m pytest -q -p no:cacheprovider -p no:randomly -m 'not slow' --pyargs "$module" > log 2>&1
    echo "$file $? $(tail -n 1 log | sed -E 's/ in [0-9.]+s.*//; s/[0-9]+ warnings?,? ?//; s/, $//')"
    grep -E '^(FAILED|ERROR)' log | sed -E 's/ - .*//'
done
true
