// Command store-spike compares candidates for the engine's database: it measures commits with the data that a short execution
// writes, with a sync. It is a separate module, so that rayorch does not depend on the rejected candidates. bench/README.md has the
// results.
//
//	go run . -seconds 10
package main

import (
	"database/sql"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	bolt "go.etcd.io/bbolt"
	_ "modernc.org/sqlite"
)

// pair is one key with its value.
type pair struct{ k, v []byte }

// db is the interface that the engine needs.
type db interface {
	commit([]pair) error // atomic, with a sync
	get(k []byte) ([]byte, error)
	close() error
}

var candidates = []struct {
	name string
	open func(dir string) (db, error)
}{
	{"pebble v2.1.7", openPebble}, {"bbolt, transaction per commit", openBolt}, {"bbolt, Batch", openBoltBatch},
	{"sqlite (modernc), WAL, full", openSQLite},
}

func main() {
	seconds := flag.Int("seconds", 10, "how long each measurement runs")
	only := flag.String("only", "", "measure only candidates whose names have this prefix")
	flag.Parse()
	fmt.Printf("%-30s %7s %10s %9s %9s %8s %9s\n", "database", "clients", "commits/s", "p50 ms", "p99 ms", "RSS MB", "disk MB")
	for _, c := range candidates {
		if !strings.HasPrefix(c.name, *only) {
			continue
		}
		for _, clients := range []int{1, 32} {
			if err := measure(c.name, c.open, clients, time.Duration(*seconds)*time.Second); err != nil {
				log.Fatal(c.name, ": ", err)
			}
		}
	}
}

// measure runs commits from a number of concurrent clients for the duration d and prints one line of figures.
func measure(name string, open func(string) (db, error), clients int, d time.Duration) error {
	dir, err := os.MkdirTemp(".", "spike-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := open(dir)
	if err != nil {
		return err
	}
	var seq atomic.Uint64
	took := make([][]time.Duration, clients)
	var failed atomic.Value
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range clients {
		wg.Go(func() {
			for time.Since(begin) < d {
				from := time.Now()
				if err := one(store, seq.Add(1)); err != nil {
					failed.Store(err)
					return
				}
				took[c] = append(took[c], time.Since(from))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	if err, ok := failed.Load().(error); ok {
		return err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	rss := resident()
	if err := store.close(); err != nil {
		return err
	}
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1000 }
	fmt.Printf("%-30s %7d %10.0f %9.2f %9.2f %8d %9d\n", name, clients, float64(len(all))/elapsed.Seconds(), at(.5), at(.99),
		rss, size(dir)>>20)
	return nil
}

// one does what the start of a one-step execution does: it looks up the name, then writes name, meta, head, frame, events, two list
// entries and a closing entry, 1.3 kB in total.
func one(store db, n uint64) error {
	name := fmt.Sprintf("narn:aws:states:us-east-1:123456789012:execution:m:%016x%016x", rand.Uint64(), n)
	if _, err := store.get([]byte(name)); err != nil {
		return err
	}
	id := binary.BigEndian.AppendUint64(nil, n)
	key := func(prefix string) []byte { return append([]byte(prefix), id...) }
	return store.commit([]pair{
		{[]byte(name), id}, {key("rm"), text(180)}, {key("rh"), text(120)}, {key("rf"), text(280)}, {key("e"), text(300)},
		{key("lgroup\x00\x00"), text(200)}, {key("lgroup\x00SUCCEEDED\x00"), text(200)}, {key("c"), nil},
	})
}

// text returns n random hexadecimal digits.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[rand.IntN(16)]
	}
	return b
}

type pebbleDB struct{ *pebble.DB }

func openPebble(dir string) (db, error) {
	d, err := pebble.Open(dir, &pebble.Options{MemTableSize: 8 << 20, CacheSize: 16 << 20, FormatMajorVersion: pebble.FormatNewest})
	return pebbleDB{d}, err
}

func (p pebbleDB) commit(pairs []pair) error {
	b := p.NewBatch()
	for _, kv := range pairs {
		if err := b.Set(kv.k, kv.v, nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

func (p pebbleDB) get(k []byte) ([]byte, error) {
	v, c, err := p.Get(k)
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return v, c.Close()
}

func (p pebbleDB) close() error { return p.Close() }

type boltDB struct {
	*bolt.DB
	batch bool
}

var bucket = []byte("b")

func openBolt(dir string) (db, error)      { return openBoltAs(dir, false) }
func openBoltBatch(dir string) (db, error) { return openBoltAs(dir, true) }

// openBoltAs opens bbolt. With batch, concurrent commits are combined into one transaction.
func openBoltAs(dir string, batch bool) (db, error) {
	d, err := bolt.Open(filepath.Join(dir, "bolt"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	d.MaxBatchDelay = time.Millisecond // the default of 10 ms would be the latency of a single client
	return boltDB{d, batch}, d.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
}

func (d boltDB) commit(pairs []pair) error {
	put := func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		for _, kv := range pairs {
			if err := b.Put(kv.k, kv.v); err != nil {
				return err
			}
		}
		return nil
	}
	if d.batch {
		return d.Batch(put)
	}
	return d.Update(put)
}

func (d boltDB) get(k []byte) (v []byte, err error) {
	return v, d.View(func(tx *bolt.Tx) error {
		v = slices.Clone(tx.Bucket(bucket).Get(k))
		return nil
	})
}

func (d boltDB) close() error { return d.Close() }

type sqlDB struct {
	*sql.DB
	mu sync.Mutex // only one writer at a time, to avoid SQLITE_BUSY
}

func openSQLite(dir string) (db, error) {
	d, err := sql.Open("sqlite", filepath.Join(dir, "sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	_, err = d.Exec("CREATE TABLE t (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID")
	return &sqlDB{DB: d}, err
}

func (d *sqlDB) commit(pairs []pair) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.Begin()
	if err != nil {
		return err
	}
	for _, kv := range pairs {
		if _, err := tx.Exec("INSERT OR REPLACE INTO t VALUES (?, ?)", kv.k, kv.v); err != nil {
			_ = tx.Rollback()
			return err
		}
	}
	return tx.Commit()
}

func (d *sqlDB) get(k []byte) (v []byte, err error) {
	if err = d.QueryRow("SELECT v FROM t WHERE k = ?", k).Scan(&v); err == sql.ErrNoRows {
		err = nil
	}
	return v, err
}

func (d *sqlDB) close() error { return d.Close() }

// resident returns the resident memory of this process in MB.
func resident() (mb int) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &mb); err == nil {
			break
		}
	}
	return mb / 1024
}

// size returns the total size of the files in a directory in bytes.
func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
