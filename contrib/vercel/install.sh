#!/bin/sh
# The installCommand of vercel.json: puts the locked packages into `_vendor`, where Vercel's runtime looks for them.
# The build's own installation accepts only lock files that name a registry's host, so it would install newest versions.
set -eu

rm -rf _vendor
uv pip install --quiet --target _vendor --no-deps --require-hashes --requirement requirements/server.lock
uv pip uninstall --quiet pip 2>/dev/null || true  # from the build's environment, which is bundled too
echo ../src > _vendor/orchboard.pth  # relative to _vendor: the function holds our code once

# What a function does not import: the command line's packages, numpy's tools and tests, a second backend of zstandard.
cd _vendor
rm -rf bin pygments rich rich_rst cyclopts docutils markdown_it mdurl docstring_parser attr attrs
rm -rf numpy/f2py numpy/_pyinstaller numpy/_core/include numpy/_core/lib numpy/random numpy/fft numpy/polynomial numpy/testing
rm -f numpy/_core/_*_tests.*.so numpy/_core/_simd.*.so zstandard/_cffi.*.so
find . -type d \( -name tests -o -name sboms -o -name __pycache__ \) -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[cha]' \) -delete
if command -v strip >/dev/null; then  # debug information: 60 of 102 MB
    find . -type f -name '*.so' -exec strip --strip-unneeded {} +
fi
cd ..

# Without bytecode a cold start takes three times as long. Its time stamps would not survive the upload: unchecked.
python -m compileall -q --invalidation-mode unchecked-hash _vendor src/orchboard
