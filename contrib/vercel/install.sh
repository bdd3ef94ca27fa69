#!/bin/sh
# The installCommand of vercel.json: installs the locked packages into `_vendor`, where Vercel's runtime finds them.
# The standard installation of the build accepts only lock files with a registry's host, so it would install newest versions.
set -eu

rm -rf _vendor
uv pip install --quiet --target _vendor --no-deps --require-hashes --requirement requirements/server.lock
uv pip uninstall --quiet pip 2>/dev/null || true  # from the build environment, which is bundled too
echo ../src > _vendor/orchboard.pth  # relative to _vendor, so that the function contains src once

# Remove files that a function does not import: packages of the command line and of the client, the directories of the embedded
# database, tools and tests of numpy, the second backend of zstandard.
cd _vendor
rm -rf bin pygments rich rich_rst cyclopts docutils markdown_it mdurl docstring_parser attr attrs
rm -rf httpcore2 truststore idna platformdirs
rm -rf numpy/f2py numpy/_pyinstaller numpy/_core/include numpy/_core/lib numpy/random numpy/fft numpy/polynomial numpy/testing
rm -f numpy/_core/_*_tests.*.so numpy/_core/_simd.*.so zstandard/_cffi.*.so
find . -type d \( -name tests -o -name sboms -o -name __pycache__ \) -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[cha]' \) -delete
if command -v strip >/dev/null; then  # debug information: 60 of 102 MB
    find . -type f -name '*.so' -exec strip --strip-unneeded {} +
fi
cd ..
# The commands are not a part of the function either.
rm -rf src/orchboard/cli src/orchboard/simulate src/orchboard/mirror src/orchboard/importing

# Without bytecode a cold start takes three times as long. unchecked-hash, because the upload changes the time stamps of the sources.
python -m compileall -q --invalidation-mode unchecked-hash _vendor src/orchboard
