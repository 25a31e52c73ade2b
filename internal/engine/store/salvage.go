package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
)

// Survey reads all blocks of the database in a directory, and calls report for each part that cannot be read. The error is a LostError
// if the database has lost commits, and a DamagedError if it cannot be opened. Survey writes nothing.
func Survey(dir string, o Options, report func(Loss)) error {
	o = o.withDefaults()
	o.FS, o.ReadOnly = readOnly{o.FS}, true
	s, err := lockForReading(dir, o)
	if err != nil {
		return err
	}
	defer s.lock.Close()
	live, opening := s.tables(o)
	r := &raw{
		fs: o.FS, dir: o.FS.PathJoin(dir, "db"), live: live, lost: report,
		put:  func([]byte, uint64, bool, []byte) error { return nil },
		drop: func([]byte, []byte, uint64) error { return nil },
	}
	if err := r.scan(); err != nil {
		return fmt.Errorf("read the database in %s: %w", dir, err)
	}
	if opening != nil {
		return opening
	}
	return s.lost(o)
}

// lockForReading returns a store with a shared lock on the directory, whose database is not open.
func lockForReading(dir string, o Options) (*Store, error) {
	if _, err := o.FS.Stat(o.FS.PathJoin(dir, "db")); err != nil {
		return nil, fmt.Errorf("%s is not a state directory: %w", dir, err)
	}
	lock, err := shareLock(dir)
	return &Store{dir: dir, fs: o.FS, lock: lock, logger: o.Logger}, err
}

// tables returns the numbers of the sorted files that the database uses. The directory may contain others, which a compaction has
// replaced.
func (s *Store) tables(o Options) (map[uint64]bool, error) {
	db, err := s.openDB(o)
	if err != nil {
		return nil, err
	}
	levels, err := db.SSTables()
	live := map[uint64]bool{}
	for _, tables := range levels {
		for i := range tables {
			live[uint64(tables[i].BackingSSTNum)] = true
		}
	}
	return live, errors.Join(err, db.Close())
}

// Salvage copies all readable keys of a damaged state directory into a new one, each with its newest readable value, and calls report
// for each part that cannot be read. It returns the new store. Keys that belong together may be incomplete there: the caller must check
// the runs and discard the incomplete ones (rebuild.go).
func Salvage(from, to string, o Options, report func(Loss)) (*Store, error) {
	o = o.withDefaults()
	source := o
	source.FS, source.ReadOnly = readOnly{o.FS}, true
	old, err := lockForReading(from, source)
	if err != nil {
		return nil, err
	}
	defer old.lock.Close()
	if err := wantEmpty(o, to); err != nil {
		return nil, err
	}
	s, err := Open(to, o)
	if err != nil {
		return nil, err
	}
	if err := s.salvage(old, source, report); err != nil {
		return nil, errors.Join(fmt.Errorf("copy the database in %s: %w", from, err), s.Close(), o.FS.RemoveAll(to))
	}
	return s, nil
}

// wantEmpty returns an error if a directory exists and is not empty.
func wantEmpty(o Options, dir string) error {
	names, err := o.FS.List(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	if len(names) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	}
	return nil
}

// salvage fills a new store from the files of an old one: it collects all versions of all keys in a temporary database, and keeps the
// newest version of each key.
func (s *Store) salvage(old *Store, source Options, report func(Loss)) error {
	live, _ := old.tables(source) // if this fails, all files are read
	v, err := s.newVersions()
	if err != nil {
		return err
	}
	r := &raw{fs: source.FS, dir: source.FS.PathJoin(old.dir, "db"), live: live, lost: report, put: v.put, drop: v.drop}
	err = r.scan()
	if err == nil {
		err = v.newest(s.keep)
	}
	if err == nil {
		err = s.db.Flush()
	}
	return errors.Join(err, v.close())
}

// keep writes a key without a sync, because a flush follows. It checks the format of the old store.
func (s *Store) keep(key, value []byte) error {
	if key[0] != keyFormat {
		return s.db.Set(key, value, pebble.NoSync)
	}
	if found, err := strconv.Atoi(string(value)); err == nil && found > Format {
		return &NewerError{s.dir, found}
	}
	return nil
}

// versions sorts all versions of all keys. It uses a temporary database, because they may not fit into memory.
type versions struct {
	s      *Store
	db     *pebble.DB
	dir    string
	ranges []dropped
}

// dropped is a range deletion. It deletes the versions with a lower number of all keys k with from <= k < to.
type dropped struct {
	from, to []byte
	number   uint64
}

func (s *Store) newVersions() (*versions, error) {
	dir := s.fs.PathJoin(s.dir, "salvage.tmp")
	o := s.pebbleOptions(Options{FS: s.fs, Logger: s.logger, CacheBytes: 8 << 20, WriteBytes: 16 << 20})
	o.DisableWAL = true
	db, err := pebble.Open(dir, o)
	return &versions{s: s, db: db, dir: dir}, err
}

func (v *versions) close() error { return errors.Join(v.db.Close(), v.s.fs.RemoveAll(v.dir)) }

// put adds a version of a key; set is false for a deletion. The temporary key is the key with each zero byte escaped as 0 255, then
// 0 0, then the inverted number: so the versions of a key are adjacent, the newest first.
func (v *versions) put(key []byte, number uint64, set bool, value []byte) error {
	k := append(bytes.ReplaceAll(key, []byte{0}, []byte{0, 255}), 0, 0)
	k = binary.BigEndian.AppendUint64(k, ^number)
	mark := byte(0)
	if set {
		mark = 1
	}
	return v.db.Set(k, append([]byte{mark}, value...), pebble.NoSync)
}

func (v *versions) drop(from, to []byte, number uint64) error {
	v.ranges = append(v.ranges, dropped{from, to, number})
	return nil
}

// newest calls fn for the newest version of each key, in the order of the keys, unless it is a deletion or was deleted by a range.
func (v *versions) newest(fn func(key, value []byte) error) error {
	it, err := v.db.NewIter(nil)
	if err != nil {
		return err
	}
	slices.SortFunc(v.ranges, func(a, b dropped) int { return bytes.Compare(a.from, b.from) })
	var last []byte
	var open []dropped
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		k := it.Key()
		escaped, number := k[:len(k)-10], ^binary.BigEndian.Uint64(k[len(k)-8:])
		if last != nil && bytes.Equal(escaped, last) {
			continue
		}
		last = append(last[:0], escaped...)
		key := bytes.ReplaceAll(escaped, []byte{0, 255}, []byte{0})
		open = v.over(open, key)
		newer := func(d dropped) bool { return d.number > number }
		if value := it.Value(); value[0] == 1 && !slices.ContainsFunc(open, newer) {
			err = fn(key, value[1:])
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// over returns the deleted ranges that contain a key. Keys must come in order. open is the result for the previous key; the ranges are
// sorted and are consumed.
func (v *versions) over(open []dropped, key []byte) []dropped {
	for len(v.ranges) > 0 && bytes.Compare(v.ranges[0].from, key) <= 0 {
		open, v.ranges = append(open, v.ranges[0]), v.ranges[1:]
	}
	return slices.DeleteFunc(open, func(d dropped) bool { return bytes.Compare(d.to, key) <= 0 })
}
