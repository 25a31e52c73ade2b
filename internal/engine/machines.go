package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// definitions is the kind of the documents that contain definitions. Their names are the hashes of the definitions.
const definitions = "definition"

// maxMachines is the maximum number of parsed definitions in memory.
const maxMachines = 256

// machines is a cache of parsed definitions, which executions share.
type machines struct {
	st     *store.Store
	mu     sync.Mutex
	parsed map[string]*asl.Machine

	naming    sync.RWMutex // held while a run that names a definition is created; collect holds it exclusively
	forgotten atomic.Bool  // executions were deleted since the last collect
}

// of returns a parsed definition and its hash. It stores the definition, so that runs can refer to it by the hash.
func (ms *machines) of(definition []byte) (*asl.Machine, string, error) {
	sum := sha256.Sum256(definition)
	hash := hex.EncodeToString(sum[:])
	if m := ms.cached(hash); m != nil {
		return m, hash, nil
	}
	m, err := asl.Parse(definition)
	if err != nil {
		return nil, "", fmt.Errorf("read the definition: %w", err)
	}
	if _, err := ms.st.Doc(definitions, hash); errors.Is(err, store.ErrNoDoc) {
		err = ms.st.PutDocs(definitions, store.Doc{Name: hash, Value: definition})
		if err != nil {
			return nil, "", err
		}
	}
	ms.keep(hash, m)
	return m, hash, nil
}

// byHash returns a parsed definition that is stored.
func (ms *machines) byHash(hash string) (*asl.Machine, error) {
	if m := ms.cached(hash); m != nil {
		return m, nil
	}
	definition, err := ms.st.Doc(definitions, hash)
	if err != nil {
		return nil, fmt.Errorf("definition %s: %w", hash, err)
	}
	m, err := asl.Parse(definition)
	if err != nil {
		return nil, fmt.Errorf("definition %s: %w", hash, err)
	}
	ms.keep(hash, m)
	return m, nil
}

// drop removes a definition that is no longer on disk from the cache.
func (ms *machines) drop(hash string) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.parsed, hash)
}

func (ms *machines) cached(hash string) *asl.Machine {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.parsed[hash]
}

// keep adds a parsed definition to the cache.
func (ms *machines) keep(hash string, m *asl.Machine) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.parsed == nil {
		ms.parsed = map[string]*asl.Machine{}
	}
	for old := range ms.parsed { // evict any: it is parsed again when it is needed
		if len(ms.parsed) < maxMachines {
			break
		}
		delete(ms.parsed, old)
	}
	ms.parsed[hash] = m
}
