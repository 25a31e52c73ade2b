package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// Loss is a part of a database's file that cannot be read.
type Loss struct {
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"`
	Problem string `json:"problem"`
}

func (l Loss) String() string {
	return fmt.Sprintf("%s: %d bytes cannot be read: %s", l.File, l.Bytes, l.Problem)
}

// raw reads the files of a database one by one, without what ties them together: whatever is damaged, the rest is found. A key is
// found as often as there are versions of it; the one with the greatest number counts.
type raw struct {
	fs   vfs.FS
	dir  string
	live map[uint64]bool // the sorted files in use; nil if that is unknown
	lost func(Loss)
	put  func(key []byte, number uint64, set bool, value []byte) error
	drop func(from, to []byte, number uint64) error // a deleted range
}

var (
	keySchema   = colblk.DefaultKeySchema(pebble.DefaultComparer, 16)
	rawOptions  = sstable.ReaderOptions{Comparer: pebble.DefaultComparer, KeySchemas: sstable.MakeKeySchemas(&keySchema)}
	errNotBlock = errors.New("not a block of data")
)

// scan reads all sorted files and logs. The error is put's or drop's, or says that there is no such directory.
func (r *raw) scan() error {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		number, isTable := strings.CutSuffix(name, ".sst")
		n, err := strconv.ParseUint(number, 10, 64)
		if !isTable || err != nil || r.live != nil && !r.live[n] {
			continue
		}
		if err := r.table(name); err != nil {
			return err
		}
	}
	return r.logs()
}

func (r *raw) report(file string, n int64, err error) {
	r.lost(Loss{File: file, Bytes: n, Problem: strings.SplitN(err.Error(), "\n", 2)[0]})
}

func (r *raw) read(name string) ([]byte, error) {
	f, err := r.fs.Open(r.fs.PathJoin(r.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// table reads a sorted file by its index, or from its beginning on where the index is lost.
func (r *raw) table(name string) error {
	data, err := r.read(name)
	if err != nil {
		r.report(name, int64(len(data)), err)
	}
	reader, err := sstable.NewMemReader(data, rawOptions)
	if err != nil {
		return r.withoutIndex(name, data, err)
	}
	defer reader.Close()
	layout, err := reader.Layout()
	if err != nil {
		return r.withoutIndex(name, data, err)
	}
	for _, h := range layout.Data {
		if err := r.block(name, data, h.Handle); err != nil {
			return err
		}
	}
	for _, f := range layout.Filter {
		if _, err := unpack(data, f.Handle); err != nil {
			r.report(name, int64(f.Length), err)
		}
	}
	return r.ranges(name, reader, layout.RangeDel.Length)
}

// block reads the block at a place.
func (r *raw) block(name string, data []byte, h block.Handle) error {
	plain, err := unpack(data, h)
	if err != nil {
		r.report(name, int64(h.Length), err)
		return nil
	}
	rows, err := decode(plain)
	if err != nil {
		r.report(name, int64(h.Length), err)
	}
	return r.putAll(rows)
}

// unpack checks a block's checksum and decompresses it.
func unpack(data []byte, h block.Handle) ([]byte, error) {
	end := h.Offset + h.Length
	if end+block.TrailerLen > uint64(len(data)) || end < h.Offset {
		return nil, io.ErrUnexpectedEOF
	}
	if err := block.ValidateChecksum(block.ChecksumTypeCRC32c, data[h.Offset:end+block.TrailerLen], h); err != nil {
		return nil, err
	}
	how, packed := block.CompressionIndicator(data[end]), data[h.Offset:end]
	if how == block.NoCompressionIndicator {
		return bytes.Clone(packed), nil // the decoder wants it aligned
	}
	size, err := block.DecompressedLen(how, packed)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, size)
	return plain, block.DecompressInto(how, packed, plain)
}

// row is a version of a key.
type row struct {
	key, value []byte
	number     uint64
	set        bool
}

// isData tells a block of data from others by its header. The decoder trusts what it reads: it must not see others.
func isData(plain []byte) bool {
	const keyLength, parts = 4, 5 // the length of the longest key comes first; trailers, prefixes, values, two flags come after a key's parts
	return len(plain) > keyLength+3 && plain[keyLength] == byte(colblk.Version1) &&
		int(binary.LittleEndian.Uint16(plain[keyLength+1:])) == len(keySchema.ColumnTypes)+parts
}

// decode reads the rows of a block of data. The decoder may panic on what is none.
func decode(plain []byte) (rows []row, err error) {
	defer func() {
		if p := recover(); p != nil {
			rows, err = nil, errNotBlock
		}
	}()
	if !isData(plain) {
		return nil, errNotBlock
	}
	var d colblk.DataBlockDecoder
	d.Init(&keySchema, plain)
	var it colblk.DataBlockIter
	it.InitOnce(&keySchema, pebble.DefaultComparer, nil)
	if err := it.Init(&d, block.IterTransforms{}); err != nil {
		return nil, err
	}
	for kv := it.First(); kv != nil; kv = it.Next() {
		if len(kv.K.UserKey) == 0 || kinds[kv.K.UserKey[0]] == "" {
			return nil, errNotBlock
		}
		kind := kv.K.Kind()
		set := kind == pebble.InternalKeyKindSet || kind == pebble.InternalKeyKindSetWithDelete
		rows = append(rows, row{bytes.Clone(kv.K.UserKey), bytes.Clone(kv.InPlaceValue()), uint64(kv.K.SeqNum()), set})
	}
	return rows, it.Error()
}

func (r *raw) putAll(rows []row) error {
	for _, w := range rows {
		if err := r.put(w.key, w.number, w.set, w.value); err != nil {
			return err
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// withoutIndex reads a sorted file whose end is lost. Blocks do not say how long they are: a block ends where its checksum
// stands. Everything behind the first block that is damaged is lost.
func (r *raw) withoutIndex(name string, data []byte, why error) error {
	at := uint64(0)
	for {
		h, ok := blockAt(data, at)
		if !ok {
			break
		}
		plain, err := unpack(data, h)
		if err != nil {
			break
		}
		rows, err := decode(plain)
		if err != nil {
			break // the index and what follows it
		}
		if err := r.putAll(rows); err != nil {
			return err
		}
		at += h.Length + block.TrailerLen
	}
	r.report(name, int64(uint64(len(data))-at), why)
	return nil //nolint:nilerr // reported
}

func blockAt(data []byte, at uint64) (block.Handle, bool) {
	sum := uint32(0)
	for end := at; end+block.TrailerLen <= uint64(len(data)); end++ {
		sum = crc32.Update(sum, castagnoli, data[end:end+1]) // with the byte that says how the block is compressed
		masked := sum>>15 | sum<<17
		if masked+0xa282ead8 == binary.LittleEndian.Uint32(data[end+1:]) && end > at {
			return block.Handle{Offset: at, Length: end - at}, true
		}
	}
	return block.Handle{}, false
}

// ranges reads the deleted ranges of a sorted file.
func (r *raw) ranges(name string, reader *sstable.Reader, size uint64) error {
	it, err := reader.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil {
		r.report(name, int64(size), err)
		return nil
	}
	if it == nil {
		return nil
	}
	defer it.Close()
	span, err := it.First()
	for ; span != nil && err == nil; span, err = it.Next() {
		for _, k := range span.Keys {
			if err := r.drop(bytes.Clone(span.Start), bytes.Clone(span.End), uint64(k.SeqNum())); err != nil {
				return err
			}
		}
	}
	if err != nil {
		r.report(name, int64(size), err)
	}
	return nil
}

// walBlock is what a log is made of: a record begins in one of them, and its checksums do not cross them.
const walBlock = 32 << 10

// logs reads all write-ahead logs, also those that are in sorted files already.
func (r *raw) logs() error {
	logs, err := wal.Scan(wal.Dir{FS: r.fs, Dirname: r.dir})
	if err != nil {
		return err
	}
	for _, l := range logs {
		for i := range l.NumSegments() {
			_, path := l.SegmentLocation(i)
			if err := r.log(r.fs.PathBase(path), uint64(l.Num)); err != nil {
				return err
			}
		}
	}
	return nil
}

// log reads a log. Behind a damaged place it looks for the next block in which a record begins.
func (r *raw) log(name string, number uint64) error {
	data, err := r.read(name)
	if err != nil {
		r.report(name, 0, err)
	}
	from, bad, why := 0, -1, error(nil)
	for from < len(data) {
		found, n, err := r.records(data[from:], number)
		var own *putError
		if errors.As(err, &own) {
			return own.error
		}
		if found && bad >= 0 { // there are records behind the damaged place
			r.report(name, int64(from-bad), why)
			bad = -1
		}
		if err == nil {
			return nil
		}
		if bad < 0 {
			bad, why = from+n, err
		}
		from += (n/walBlock + 1) * walBlock
	}
	return nil // what is behind the last record is the rest of an older log, or was not written whole when the process ended
}

// putError is an error of who takes the records, not of the log.
type putError struct{ error }

// records reads records until one is damaged, and says whether there were any, and how far that was.
func (r *raw) records(data []byte, number uint64) (found bool, at int, err error) {
	reader := logReader(record.NewReader, bytes.NewReader(data), number)
	for {
		rec, err := reader.Next()
		var batch []byte
		if err == nil {
			batch, err = io.ReadAll(rec)
		}
		if errors.Is(err, io.EOF) {
			return found, len(data), nil
		}
		if err != nil {
			return found, at, err
		}
		found, at = true, int(reader.Offset())
		if err := r.batch(batch); err != nil {
			return found, at, err
		}
	}
}

// logReader converts the log's number to the type that the database has for it, which has no name outside of it.
func logReader[N ~uint64](open func(io.Reader, N) *record.Reader, from io.Reader, number uint64) *record.Reader {
	return open(from, N(number))
}

func (r *raw) batch(data []byte) error {
	h, ok := batchrepr.ReadHeader(data)
	if !ok {
		return batchrepr.ErrInvalidBatch
	}
	number := uint64(h.SeqNum)
	for b := batchrepr.Read(data); ; {
		kind, key, value, ok, err := b.Next()
		if err != nil || !ok {
			return err
		}
		switch kind {
		case pebble.InternalKeyKindLogData:
			continue // it has no number
		case pebble.InternalKeyKindRangeDelete:
			err = r.drop(bytes.Clone(key), bytes.Clone(value), number)
		default:
			err = r.put(key, number, kind == pebble.InternalKeyKindSet, value)
		}
		if err != nil {
			return &putError{err}
		}
		number++
	}
}
