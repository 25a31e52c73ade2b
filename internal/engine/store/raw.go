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

// Loss is a part of a file of the database that cannot be read.
type Loss struct {
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"` // the size of the part
	Problem string `json:"problem"`
}

func (l Loss) String() string {
	return fmt.Sprintf("%s: %d bytes cannot be read: %s", l.File, l.Bytes, l.Problem)
}

// raw reads the files of a database one by one, without Pebble's manifest, so that damage in one file does not affect the others. It
// finds each key as often as there are versions of it; the version with the greatest sequence number is the valid one.
type raw struct {
	fs   vfs.FS
	dir  string
	live map[uint64]bool // the sorted files in use; nil if they are unknown
	lost func(Loss)
	put  func(key []byte, number uint64, set bool, value []byte) error // takes a version of a key; set is false for a deletion
	drop func(from, to []byte, number uint64) error                    // takes a range deletion
}

var (
	keySchema   = colblk.DefaultKeySchema(pebble.DefaultComparer, 16)
	rawOptions  = sstable.ReaderOptions{Comparer: pebble.DefaultComparer, KeySchemas: sstable.MakeKeySchemas(&keySchema)}
	errNotBlock = errors.New("not a data block")
)

// scan reads all sorted files and logs. It reports unreadable parts to lost; its error is one of put or drop, or means that the
// directory cannot be listed.
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

// table reads a sorted file with the help of its index, or sequentially if the index is damaged.
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

// block reads the data block at h.
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
	compression, packed := block.CompressionIndicator(data[end]), data[h.Offset:end]
	if compression == block.NoCompressionIndicator {
		return bytes.Clone(packed), nil // the decoder requires aligned data
	}
	size, err := block.DecompressedLen(compression, packed)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, size)
	return plain, block.DecompressInto(compression, packed, plain)
}

// row is a version of a key.
type row struct {
	key, value []byte
	number     uint64
	set        bool
}

// isData reports whether a block is a data block, by its header. The decoder does not validate its input and must not get other blocks.
func isData(plain []byte) bool {
	// The header begins with the length of the longest key (4 bytes). Besides the columns of the key schema, a data block has five
	// columns: trailers, prefixes, values and two flags.
	const keyLength, parts = 4, 5
	return len(plain) > keyLength+3 && plain[keyLength] == byte(colblk.Version1) &&
		int(binary.LittleEndian.Uint16(plain[keyLength+1:])) == len(keySchema.ColumnTypes)+parts
}

// decode reads the rows of a data block. The error is errNotBlock for other blocks, on which the decoder may panic.
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

// withoutIndex reads a sorted file whose index is damaged, block after block from the start. A block does not contain its length:
// blockAt finds its end by trying where the checksum matches. Everything after the first damaged block is lost. cause is why the index
// cannot be read.
func (r *raw) withoutIndex(name string, data []byte, cause error) error {
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
			break // the data blocks end here: the index and other blocks follow
		}
		if err := r.putAll(rows); err != nil {
			return err
		}
		at += h.Length + block.TrailerLen
	}
	r.report(name, int64(uint64(len(data))-at), cause)
	return nil //nolint:nilerr // reported
}

// blockAt finds the block that starts at an offset: it ends at the first byte that is followed by the checksum of the bytes before.
func blockAt(data []byte, at uint64) (block.Handle, bool) {
	sum := uint32(0)
	for end := at; end+block.TrailerLen <= uint64(len(data)); end++ {
		sum = crc32.Update(sum, castagnoli, data[end:end+1]) // the checksum includes the byte for the compression after the block
		masked := sum>>15 | sum<<17                          // Pebble stores checksums masked, as LevelDB does
		if masked+0xa282ead8 == binary.LittleEndian.Uint32(data[end+1:]) && end > at {
			return block.Handle{Offset: at, Length: end - at}, true
		}
	}
	return block.Handle{}, false
}

// ranges reads the range deletions of a sorted file; size is that of their block, in bytes.
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

// walBlock is the block size of a write-ahead log, in bytes. A record may span blocks, but each of its checksums covers a chunk within
// one block: so reading can resume at a block after a damaged one.
const walBlock = 32 << 10

// logs reads all write-ahead logs, including those whose content is already in sorted files.
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

// log reads a write-ahead log. After damage, it continues with the next block in which a record begins.
func (r *raw) log(name string, number uint64) error {
	data, err := r.read(name)
	if err != nil {
		r.report(name, 0, err)
	}
	from, bad, cause := 0, -1, error(nil) // bad is where the damage begins, -1 if there is none
	for from < len(data) {
		found, n, err := r.records(data[from:], number)
		var taking *putError
		if errors.As(err, &taking) {
			return taking.error
		}
		if found && bad >= 0 { // there are records after the damage
			r.report(name, int64(from-bad), cause)
			bad = -1
		}
		if err == nil {
			return nil
		}
		if bad < 0 {
			bad, cause = from+n, err
		}
		from += (n/walBlock + 1) * walBlock
	}
	// Data after the last record is no loss: it is the rest of an older log whose file is reused, or an incomplete write.
	return nil
}

// putError is an error of put or drop, not of the log.
type putError struct{ error }

// records reads records until the end or the first damaged record. It reports whether it found any, and where the last one ended.
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

// logReader calls record.NewReader. It is generic because the type of the log's number is internal to Pebble and cannot be named here.
func logReader[N ~uint64](open func(io.Reader, N) *record.Reader, from io.Reader, number uint64) *record.Reader {
	return open(from, N(number))
}

// batch passes the operations of a batch to put and drop. Each operation but LogData has a sequence number.
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
			continue // it has no sequence number
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
