package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The store keeps the events of a commit as a batch: a version, the number of events, and the events. An event has its type as an index
// into codes, its id, the distance to the previous event, its time, and a mask of the fields that follow. Integers have a variable
// length, and texts are preceded by their length.

// version is the version of the encoding of a batch. All versions that were ever written can be read; testdata has a file for
// each.
const version = 1

// errBroken is the error of every malformed batch: only a damaged store contains one.
var errBroken = errors.New("the stored events are damaged")

// AppendEvent appends an encoded event to dst.
func AppendEvent(dst []byte, e *Event) []byte {
	return appendOne(append(dst, version, 1), e)
}

// AppendEvents appends a batch of encoded events to dst. Several batches can follow each other.
func AppendEvents(dst []byte, events []Event) []byte {
	dst = binary.AppendUvarint(append(dst, version), uint64(len(events)))
	for i := range events {
		dst = appendOne(dst, &events[i])
	}
	return dst
}

// DecodeEvents decodes all batches in data. The payloads of the events share the memory of data.
func DecodeEvents(data []byte) ([]Event, error) {
	var events []Event
	d := decoder{data: data}
	for len(d.data) > 0 && !d.broken {
		if v := d.byte(); v != version {
			return nil, fmt.Errorf("stored events have the unsupported version %d: this program supports versions up to %d", v, version)
		}
		n := d.uint()
		if n > uint64(len(d.data)) { // an event has more than one byte, so that the count is wrong
			return nil, errBroken
		}
		for range n {
			if events = append(events, d.event()); d.broken {
				return nil, errBroken
			}
		}
	}
	if d.broken {
		return nil, errBroken
	}
	return events, nil
}

// texts returns the string fields in the order of their bits in the mask. Add new fields at the end.
func texts(e *Event) [16]*string {
	return [...]*string{&e.Name, &e.Error, &e.Cause, &e.RoleARN, &e.StateMachineARN, &e.AliasARN, &e.VersionARN,
		&e.Resource, &e.ResourceType, &e.Region, &e.CredentialsARN, &e.WorkerName, &e.MapRunARN,
		&e.State, &e.Location, &e.Arguments}
}

// payloads returns the fields of raw JSON, in the order of their bits in the mask. Add new fields at the end.
func payloads(e *Event) [3]*[]byte { return [...]*[]byte{&e.Input, &e.Output, &e.Parameters} }

// ints returns the integer fields, in the order of their bits in the mask. Add new fields at the end.
func ints(e *Event) [5]*int64 {
	return [...]*int64{&e.TimeoutSeconds, &e.HeartbeatSeconds, &e.Index, &e.Length, &e.RedriveCount}
}

// The bits of the mask: 0 to 21 are reserved for texts, 22 to 24 for payloads, 25 to 29 for ints.
const (
	payloadBit  = 22
	intBit      = 25
	assignedBit = 30
)

// mask returns a bit for each field that the record contains: an event uses three or four of about thirty.
func mask(e *Event) (m uint64) {
	for i, s := range texts(e) {
		if *s != "" {
			m |= 1 << i
		}
	}
	for i, b := range payloads(e) {
		if len(*b) > 0 {
			m |= 1 << (payloadBit + i)
		}
	}
	for i, n := range ints(e) {
		if *n != 0 {
			m |= 1 << (intBit + i)
		}
	}
	if len(e.AssignedVariables) > 0 {
		m |= 1 << assignedBit
	}
	return m
}

// appendOne panics on an unknown type, because events are created by code and never read from input.
func appendOne(dst []byte, e *Event) []byte {
	code, ok := codeOf[e.Type]
	if !ok {
		panic("history: unknown event type " + string(e.Type))
	}
	dst = binary.AppendUvarint(dst, code)
	dst = binary.AppendUvarint(dst, uint64(e.ID))
	dst = binary.AppendVarint(dst, e.ID-e.Previous)
	dst = binary.AppendVarint(dst, e.Time.UnixMilli())
	m := mask(e)
	dst = binary.AppendUvarint(dst, m)
	for i, s := range texts(e) {
		if m>>i&1 == 1 {
			dst = appendText(dst, *s)
		}
	}
	for i, b := range payloads(e) {
		if m>>(payloadBit+i)&1 == 1 {
			dst = append(binary.AppendUvarint(dst, uint64(len(*b))), *b...)
		}
	}
	for i, n := range ints(e) {
		if m>>(intBit+i)&1 == 1 {
			dst = binary.AppendVarint(dst, *n)
		}
	}
	return appendAssigned(dst, e)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendAssigned(dst []byte, e *Event) []byte {
	if len(e.AssignedVariables) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.AssignedVariables)))
	for _, k := range sortedKeys(e.AssignedVariables) {
		dst = appendText(appendText(dst, k), e.AssignedVariables[k])
	}
	return dst
}

// decoder reads what the append functions wrote. After the first error, broken is set and all values are zero.
type decoder struct {
	data   []byte
	broken bool
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.broken = true
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.data)
	d.skip(size)
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.data)
	d.skip(size)
	return n
}

func (d *decoder) skip(size int) {
	if size <= 0 || d.broken {
		d.data, d.broken = nil, true
		return
	}
	d.data = d.data[size:]
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.data)) {
		d.data, d.broken = nil, true
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

// event ignores unknown bits of the mask: a change that needs them increases the version.
func (d *decoder) event() (e Event) {
	code := d.uint()
	if code >= uint64(len(codes)) {
		d.broken = true
		return e
	}
	e.Type = codes[code].typ
	e.ID = int64(d.uint())
	e.Previous = e.ID - d.int()
	e.Time = time.UnixMilli(d.int()).UTC()
	m := d.uint()
	for i, s := range texts(&e) {
		if m>>i&1 == 1 {
			*s = string(d.bytes())
		}
	}
	for i, b := range payloads(&e) {
		if m>>(payloadBit+i)&1 == 1 {
			*b = d.bytes()
		}
	}
	for i, n := range ints(&e) {
		if m>>(intBit+i)&1 == 1 {
			*n = d.int()
		}
	}
	if m>>assignedBit&1 == 1 {
		e.AssignedVariables = d.assigned()
	}
	return e
}

func (d *decoder) assigned() map[string]string {
	n := d.uint()
	if n > uint64(len(d.data)) {
		d.broken = true
		return nil
	}
	m := make(map[string]string, min(n, 64))
	for range n {
		k := string(d.bytes())
		m[k] = string(d.bytes())
		if d.broken {
			return nil
		}
	}
	return m
}
