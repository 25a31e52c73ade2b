package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// The kinds of the documents of map runs. The name of a mapRunDocs is the ARN of the map run. A mapRunIndex is an index by execution; its
// name is the ARN of the execution and that of the map run.
const (
	mapRunDocs  = "maprun"
	mapRunIndex = "maprun-of"
)

// mapRecords reads and writes the stored records of map runs. The driver of a map run has newer counts (mapDriver.shown).
type mapRecords struct{ st *store.Store }

// put stores a record. It does not check the free space like PutDocs, because the record belongs to running work.
func (r mapRecords) put(m *MapRun) error {
	m.V = metaVersion
	v, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("map run %s: %w", m.ARN, err)
	}
	b := r.st.NewBatch()
	b.Doc(mapRunDocs, m.ARN, v)
	b.Doc(mapRunIndex, m.ExecutionARN+"|"+m.ARN, []byte(m.ARN))
	return r.st.Commit(b)
}

// end records how a map run ended, and when.
func (r mapRecords) end(m *MapRun, status stepfn.Status, now time.Time) error {
	m.Status, m.Stopped = status, now.UTC()
	m.Items.Running, m.Executions.Running = 0, 0
	return r.put(m)
}

// get reads the record of a map run. The error is ErrMapRunDoesNotExist if there is none.
func (r mapRecords) get(arn string) (m MapRun, err error) {
	v, err := r.st.Doc(mapRunDocs, arn)
	if errors.Is(err, store.ErrNoDoc) {
		return m, ErrMapRunDoesNotExist
	}
	if err == nil {
		err = json.Unmarshal(v, &m)
	}
	if err != nil {
		return m, fmt.Errorf("map run %s: %w", arn, err)
	}
	return m, nil
}

// of lists the map runs of an execution, at most limit of them (0: all). token is empty, or the next of the previous page.
func (r mapRecords) of(executionARN, token string, limit int) (runs []MapRun, next string, err error) {
	prefix := executionARN + "|"
	if token != "" {
		token = prefix + token
	}
	docs, err := r.st.Docs(mapRunIndex, prefix, token, limit)
	for _, doc := range docs {
		m, bad := r.get(string(doc.Value))
		err = errors.Join(err, bad)
		runs = append(runs, m)
	}
	if limit > 0 && len(docs) == limit {
		next = strings.TrimPrefix(docs[limit-1].Name, prefix)
	}
	return runs, next, err
}
