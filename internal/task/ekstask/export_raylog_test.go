package ekstask

import "github.com/rayorch/rayorch/internal/backend/kube"

// RayJobOf returns a description of the Ray job that a call was about, or "" if there is none.
func RayJobOf(r kube.Request, response []byte) string {
	job, ok := rayJobOf(r, response)
	switch {
	case !ok:
		return ""
	case job.ended:
		return job.proxy + " " + job.id + " ended"
	}
	return job.proxy + " " + job.id
}
