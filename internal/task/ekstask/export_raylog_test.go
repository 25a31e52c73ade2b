package ekstask

import "github.com/rayorch/rayorch/internal/backend/kube"

// RayJobOf tells which Ray job a call was about, in words; "" for none.
func RayJobOf(r kube.Request, answer []byte) string {
	job, ok := rayJobOf(r, answer)
	switch {
	case !ok:
		return ""
	case job.ended:
		return job.proxy + " " + job.id + " ended"
	}
	return job.proxy + " " + job.id
}
