package compile

import (
	"fmt"
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// podUser is the default user of pods: that of the rayproject/ray images, so that plain jobs and Ray can share files. It must be set because
// these images name the user, and runAsNonRoot requires a number.
const podUser = 1000

// defaultSecurity returns the default security contexts of a pod and of its container. They comply with the Pod Security Standard
// "restricted".
func defaultSecurity() (pod, container *value.Object) {
	user := value.Int(podUser)
	return value.Obj("runAsNonRoot", true, "runAsUser", user, "fsGroup", user, "fsGroupChangePolicy", "OnRootMismatch",
			"seccompProfile", value.Obj("type", "RuntimeDefault")),
		value.Obj("allowPrivilegeEscalation", false, "capabilities", value.Obj("drop", []any{"ALL"}))
}

// security splits a security context into that of the pod and that of the container. If own is nil, it returns the defaults.
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

// secure sets the security contexts of a pod and of its container. own is nil for the defaults.
func secure(pod, container *value.Object, own *pipeline.SecurityContext) {
	ofPod, ofContainer := security(own)
	if ofPod.Len() > 0 {
		pod.Set("securityContext", ofPod)
	}
	if ofContainer.Len() > 0 {
		container.Set("securityContext", ofContainer)
	}
}

// securityOf returns the security context of a plain job's pod: that of the job or of the target, or nil for the default.
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

// deniedHint returns a hint for a plain job that failed because it is not root, if the file does not set a security context.
func (a *attempts) deniedHint() string {
	if a.sub.pod.security != nil {
		return ""
	}
	return fmt.Sprintf(": the job runs as user %d: set securityContext", podUser)
}
