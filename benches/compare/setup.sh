#!/bin/sh
# Makes the peers ready: virtual environments in .venvs, release builds of ours, candle and burn.
set -eu
cd "$(dirname "$0")"
for peer in driver pytorch jax tensorflow; do
    [ -d ".venvs/$peer" ] || python3 -m venv ".venvs/$peer"
    ".venvs/$peer/bin/pip" install --quiet --requirement "requirements/$peer.txt"
done
for peer in candle burn; do
    # What candle and burn advise for speed; ours finds the CPU's instructions at run time.
    RUSTFLAGS="-C target-cpu=native" cargo build --release --manifest-path "$peer/Cargo.toml"
done
cargo build --release --manifest-path ../../Cargo.toml --package backprop-cli
