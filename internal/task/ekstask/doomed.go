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

// idleAfter is how long a Job may have no active pod before rayorch checks whether its namespace is being deleted.
const idleAfter = 10 * time.Second

// namespaceTerminating reports whether the Job's namespace is being deleted. Kubernetes creates no new pods for such a Job, and deletes
// the Job only after its old pods are gone, which in turn waits until the Job controller has recorded their end
// (OrderedNamespaceDeletion). So the Job could stay until its own deadline. The check is a dry run that would create the Job again: it
// creates nothing, and needs only the permission to create Jobs.
func (t *tailer) namespaceTerminating(ctx context.Context) bool {
	body, err := json.Marshal(t.a.object)
	if err != nil {
		return false
	}
	_, err = t.a.client.Do(ctx, kube.Request{
		Method: http.MethodPost, Path: kube.JobsPath(t.a.args.Namespace), Body: body, Query: url.Values{"dryRun": {"All"}},
	})
	return kube.Code(err) == http.StatusForbidden && strings.Contains(err.Error(), "being terminated")
}

// active reports whether a pod has not ended and is not being deleted.
func active(p kube.Pod) bool {
	return p.Status.Phase != "Succeeded" && p.Status.Phase != "Failed" && p.Metadata.DeletionTimestamp == nil
}

// checkIdle deletes the Job if it has had no active pod for idleAfter and will get none, because its namespace is being deleted.
func (t *tailer) checkIdle(ctx context.Context) {
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
	if time.Since(t.since) < idleAfter || !t.namespaceTerminating(ctx) {
		return
	}
	t.a.log.note("the namespace " + t.a.args.Namespace + " is being deleted and waits for the job " + t.a.name + ": deleting the job")
	err := t.a.client.Remove(ctx, kube.JobsPath(t.a.args.Namespace)+"/"+url.PathEscape(t.a.name), t.a.uid)
	if err != nil && !kube.NotFound(err) {
		t.a.log.note("the job " + t.a.name + " could not be deleted: " + err.Error())
	}
}
