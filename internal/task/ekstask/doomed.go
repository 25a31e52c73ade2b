package ekstask

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// idleAfter is how long a Job may have no pod that runs before somebody asks whether it can have one at all.
const idleAfter = 10 * time.Second

// doomed tells of a Job whose namespace is being deleted when its pods have gone: Kubernetes makes it no new ones, waits
// for the old ones, whose end it notes in the Job, and so for the Job, which would go on until its own deadline
// (OrderedNamespaceDeletion). Who may create Jobs may ask the server whether it would create this one: nothing is made.
func (t *tailer) doomed(ctx context.Context) bool {
	body, err := json.Marshal(t.a.object)
	if err != nil {
		return false
	}
	_, err = t.a.client.Do(ctx, kube.Request{
		Method: http.MethodPost, Path: kube.JobsPath(t.a.args.Namespace), Body: body, Query: url.Values{"dryRun": {"All"}},
	})
	return kube.Code(err) == http.StatusForbidden && strings.Contains(err.Error(), "being terminated")
}

// active tells of a pod that may still do something.
func active(p kube.Pod) bool {
	return p.Status.Phase != "Succeeded" && p.Status.Phase != "Failed" && p.Metadata.DeletionTimestamp == nil
}

// idle counts for how long no pod of the Job has run, and ends a Job that never will have one.
func (t *tailer) idle(ctx context.Context) {
	t.mu.Lock()
	runs := t.active
	t.mu.Unlock()
	if runs {
		t.since = time.Time{}
		return
	}
	if t.since.IsZero() {
		t.since = time.Now()
	}
	if time.Since(t.since) < idleAfter || !t.doomed(ctx) {
		return
	}
	t.a.log.note("the namespace " + t.a.args.Namespace + " is being deleted: deleting the job " + t.a.name + ", for which it waits")
	err := t.a.client.Remove(ctx, kube.JobsPath(t.a.args.Namespace)+"/"+url.PathEscape(t.a.name), t.a.uid)
	if err != nil && !kube.NotFound(err) {
		t.a.log.note("it could not be deleted: " + err.Error())
	}
}
