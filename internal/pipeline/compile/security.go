package compile

import (
	"fmt"
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// podUser is the user that pods run as, unless the file says otherwise: the one of rayproject/ray's images, so that plain jobs and Ray
// share files. Those images have the user by its name, and runAsNonRoot takes only numbers.
const podUser = 1000

// defaultSecurity is the security context of a pod and that of its container. The Pod Security Standard "restricted" admits them.
func defaultSecurity() (pod, container *value.Object) {
	user := value.Int(podUser)
	return value.Obj("runAsNonRoot", true, "runAsUser", user, "fsGroup", user, "fsGroupChangePolicy", "OnRootMismatch",
			"seccompProfile", value.Obj("type", "RuntimeDefault")),
		value.Obj("allowPrivilegeEscalation", false, "capabilities", value.Obj("drop", []any{"ALL"}))
}

// security is the file's security context, split as Kubernetes has it, or the default.
func security(own *pipeline.SecurityContext) (pod, container *value.Object) {
	if own == nil {
		return defaultSecurity()
	}
	pod, container = &value.Object{}, &value.Object{}
	for i := range own.Fields.Len() {
		key, v := own.Fields.At(i)
		if slices.Contains(pipeline.PodSecurityFields, key) {
			pod.Set(key, plainAll(v))
		} else {
			container.Set(key, plainAll(v))
		}
	}
	return pod, container
}

// secure sets the security contexts of a pod and of its container.
func secure(pod, container *value.Object, own *pipeline.SecurityContext) {
	ofPod, ofContainer := security(own)
	if ofPod.Len() > 0 {
		pod.Set("securityContext", ofPod)
	}
	if ofContainer.Len() > 0 {
		container.Set("securityContext", ofContainer)
	}
}

// securityOf is the file's security context of a plain job's pod; nil for the default.
func (c *compiler) securityOf(j *pipeline.Job) *pipeline.SecurityContext {
	if j != nil && j.SecurityContext != nil {
		return j.SecurityContext
	}
	return c.at.pods.SecurityContext
}

// getsToken reports whether the pod of a plain job gets the token of its service account.
func (c *compiler) getsToken(j *pipeline.Job) bool {
	if j.AutomountServiceAccountToken != nil {
		return *j.AutomountServiceAccountToken
	}
	return c.at.pods.AutomountServiceAccountToken
}

// deniedHint is what to do about a plain job that failed because it is not root, if the file does not say what it runs as.
func (a *attempts) deniedHint() string {
	if a.sub.pod.security != nil {
		return ""
	}
	return fmt.Sprintf(": the job runs as user %d: set securityContext", podUser)
}
