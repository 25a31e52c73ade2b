package pipeline

import "slices"

// SecretUsers returns, for each secret, the names of the steps that use it, also in their onFailure.
func SecretUsers(steps []Step) map[string][]string {
	users := map[string][]string{}
	for i := range steps {
		s := &steps[i]
		names := jobSecrets(s.Ray, s.Job)
		if s.OnFailure != nil {
			names = append(names, jobSecrets(s.OnFailure.Ray, s.OnFailure.Job)...)
		}
		for _, name := range names {
			if !slices.Contains(users[name], s.Name) {
				users[name] = append(users[name], s.Name)
			}
		}
		for name, inside := range SecretUsers(s.Children()) {
			users[name] = append(users[name], inside...)
		}
	}
	return users
}

// jobSecrets returns the secrets of a step's job; one of the arguments is nil.
func jobSecrets(ray *RayJob, job *Job) []string {
	var names []string
	if ray != nil {
		names = append(names, ray.Secrets...)
	}
	if job != nil {
		names = append(names, job.Secrets...)
	}
	return names
}
