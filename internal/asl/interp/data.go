package interp

import (
	"math/rand/v2"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// data is a JSON value that is passed from state to state: as text, parsed, or both, each made when first asked for. It
// never changes, so that states which pass it on share it.
type data struct {
	v      any
	parsed bool
	text   []byte
}

// textData takes JSON that was checked before.
func textData(b []byte) *data { return &data{text: b} }

func valueData(v any) *data { return &data{v: v, parsed: true} }

// value is the parsed value; what is no JSON reads as null, because texts are checked where they come in.
func (d *data) value() any {
	if !d.parsed {
		d.v, _ = value.Parse(d.text)
		d.parsed = true
	}
	return d.v
}

func (d *data) bytes() []byte {
	if d.text == nil {
		d.text = value.Bytes(d.v)
	}
	return d.text
}

// tooBig counts the bytes of the compact JSON, as Step Functions counts what it stores. It does not write the JSON: the value may
// hold the same part many times.
func (d *data) tooBig() bool {
	if d.text == nil {
		return value.Len(d.v, stepfn.MaxPayload) > stepfn.MaxPayload
	}
	return len(d.text) > stepfn.MaxPayload
}

// random is a source for one stage of a state's work, and for one of its items. Every entry of a state and every attempt
// draws anew; a replay draws the same.
func (r *Run) random(f *frame, stage, index uint64) rand.Source {
	return sourceOf(r.params.Seed, stream(f, stage), index)
}

func stream(f *frame, stage uint64) uint64 {
	return mix(mix(mix(uint64(f.id))+uint64(f.entries)) + stage)
}

func sourceOf(seed, stream, index uint64) rand.Source {
	return &lazySource{seed: seed, stream: mix(stream + index)}
}

// mix spreads a number over all bits (the finalizer of splitmix64), so that neighbours get streams that have nothing in
// common: two UUIDs of one execution must not be the same.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// lazySource seeds its generator at the first draw: most evaluations never draw.
type lazySource struct {
	seed, stream uint64
	pcg          *rand.PCG
}

func (s *lazySource) Uint64() uint64 {
	if s.pcg == nil {
		s.pcg = rand.NewPCG(s.seed, s.stream)
	}
	return s.pcg.Uint64()
}
