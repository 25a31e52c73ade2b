package pipeline

import (
	"reflect"
	"slices"
	"strings"
)

// TargetKind is the kind of a target.
type TargetKind string

// The kinds of target.
const (
	TargetLocal      TargetKind = "local"      // this machine
	TargetKubernetes TargetKind = "kubernetes" // the engine here, jobs in a Kubernetes cluster
	TargetAWS        TargetKind = "aws"        // Step Functions, jobs in Amazon EKS
)

// SubmitMode is the submission mode of a cluster target: how its Ray jobs are submitted.
type SubmitMode string

// The submission modes.
const (
	SubmitJob    SubmitMode = "job"    // a Kubernetes Job submits the Ray job, follows it and reports its result
	SubmitProxy  SubmitMode = "proxy"  // the state machine calls Ray's API through the Kubernetes API server's proxy
	SubmitRayJob SubmitMode = "rayjob" // KubeRay's operator submits, from a RayJob object
)

// Known reports whether the mode exists. Decode has checked the mode in the file, but not the one in an option.
func (m SubmitMode) Known() bool {
	switch m {
	case SubmitJob, SubmitProxy, SubmitRayJob:
		return true
	}
	return false
}

// Target configures where and how a pipeline runs. Each kind of target has only some of the fields (tag only); others are errors.
type Target struct {
	Kind       TargetKind        `yaml:"kind" need:"1" enum:"local|kubernetes|aws" doc:"local is this machine, kubernetes a cluster with Ray, aws Step Functions with Amazon EKS."`
	Ray        RayTarget         `yaml:"ray" doc:"The Ray to use."`
	Storage    string            `yaml:"storage" only:"local" doc:"Directory for the pipeline's storage, relative to the pipeline file (local)."`
	InheritEnv InheritEnv        `yaml:"inheritEnv" only:"local" doc:"Additional environment variables that jobs inherit: true for all, or a list of names such as [AWS_*, HF_TOKEN] (local)."`
	Context    string            `yaml:"context" only:"kubernetes" doc:"The kubeconfig context. Default: the current one (kubernetes)."`
	Namespace  string            `yaml:"namespace" only:"kubernetes|aws" doc:"The namespace of Ray and of everything that a run creates. Default: default (kubernetes, aws)."`
	Submit     SubmitMode        `yaml:"submit" only:"kubernetes|aws" enum:"job|proxy|rayjob" doc:"Submission mode of Ray steps. Default: job (kubernetes, aws)."`
	Image      string            `yaml:"image" only:"kubernetes|aws" doc:"The submitter's image, which must contain python3. Default: a pinned release of rayproject/ray (kubernetes, aws)."`
	JobImage   string            `yaml:"jobImage" only:"kubernetes|aws" doc:"Image of plain jobs that do not set one (kubernetes, aws)."`
	WorkingDir *WorkingDirTarget `yaml:"workingDir" only:"kubernetes|aws" doc:"How working directories reach the jobs (kubernetes, aws)."`
	Pods       *PodsTarget       `yaml:"pods" only:"kubernetes|aws" doc:"Settings of all pods of the pipeline's Jobs. They do not apply to Ray's own pods (kubernetes, aws)."`
	Queue      string            `yaml:"queue" only:"kubernetes|aws" doc:"The Kueue queue; requires submit: rayjob and ray.clusterSpec (kubernetes, aws)."`
	AWS        *AWSTarget        `yaml:"aws" only:"aws" doc:"Settings of Step Functions and CloudFormation (aws)."`
}

// RayTarget selects the Ray that a target uses.
type RayTarget struct {
	Address     string     `yaml:"address" doc:"auto, host:port, http(s)://host:port or ray://host:port. Default: --ray-address or the environment (local)."`
	Service     string     `yaml:"service" doc:"The Service of the Ray head. Default: that of cluster, or kuberay-head-svc (kubernetes, aws)."`
	Port        int        `yaml:"port" def:"8265" min:"1" max:"65535" doc:"Port of the dashboard at that Service (kubernetes, aws)."`
	Cluster     string     `yaml:"cluster" doc:"The RayCluster to use (kubernetes, aws)."`
	ClusterSpec *Literal   `yaml:"clusterSpec" doc:"The rayClusterSpec of a cluster that each Ray step gets; requires submit: rayjob (kubernetes, aws)."`
	Token       *SecretKey `yaml:"token" doc:"The Secret with Ray's authentication token (kubernetes, aws)."`
}

// WorkingDirTarget configures how working directories reach the cluster.
type WorkingDirTarget struct {
	Via string `yaml:"via" enum:"package|configMap|objectStore|claim|inline" doc:"Method. Default: the first one that the submission mode and the size allow. package is another name for configMap."`
	URI string `yaml:"uri" doc:"Prefix in the object store, such as s3://BUCKET/PREFIX (objectStore)."`
}

// PodsTarget configures all pods of a pipeline's Jobs.
type PodsTarget struct {
	ServiceAccount               string           `yaml:"serviceAccount" doc:"Service account."`
	NodeSelector                 Map[string]      `yaml:"nodeSelector" doc:"Labels of the nodes that the pods can run on."`
	Tolerations                  []Toleration     `yaml:"tolerations" doc:"Taints that the pods tolerate."`
	Labels                       Map[string]      `yaml:"labels" doc:"Labels of all objects."`
	Annotations                  Map[string]      `yaml:"annotations" doc:"Annotations of all objects."`
	ImagePullSecrets             []string         `yaml:"imagePullSecrets" doc:"Secrets for pulling images."`
	SecurityContext              *SecurityContext `yaml:"securityContext" doc:"Security context of the pods. It replaces the default: a non-root user without privileges."`
	AutomountServiceAccountToken bool             `yaml:"automountServiceAccountToken" doc:"Mount the service account's token into the pods of plain jobs."`
	SubPath                      string           `yaml:"subPath" doc:"Directory of the storage's claim to mount in the pods; Ray's pods must mount the same one."`
	TTL                          Duration         `yaml:"ttl" def:"24h" doc:"How long to keep finished Jobs, with their logs."`
}

// AWSTarget has the settings that only AWS needs. They have the same meaning as the parameters of the published Seed-Farmer module.
type AWSTarget struct {
	Region              string      `yaml:"region" doc:"AWS Region. Default: the AWS SDK's."`
	ClusterName         string      `yaml:"clusterName" doc:"Name of the EKS cluster."`
	ClusterEndpoint     string      `yaml:"clusterEndpoint" doc:"The cluster's endpoint. Default: as EKS returns it."`
	ClusterAuthData     string      `yaml:"clusterAuthData" doc:"The cluster's certificate authority data. Default: as EKS returns it."`
	OIDCArn             string      `yaml:"oidcArn" doc:"ARN of the cluster's OIDC provider."`
	AdminRoleArn        string      `yaml:"adminRoleArn" doc:"ARN of the role that administers the cluster."`
	HandlerRoleArn      string      `yaml:"handlerRoleArn" doc:"ARN of the role that assumes the admin role."`
	StateMachineName    string      `yaml:"stateMachineName" doc:"Name of the state machine. Default: TrainingOnEks- followed by the stack's name."`
	DataBucket          string      `yaml:"dataBucket" doc:"Bucket that pods can read and write."`
	PermissionsBoundary string      `yaml:"permissionsBoundary" doc:"Name of the permissions boundary of all roles."`
	LogRetentionDays    int         `yaml:"logRetentionDays" def:"90" min:"1" max:"3653" doc:"Number of days to keep logs."`
	Schedule            string      `yaml:"schedule" doc:"Schedule of automatic runs: rate(...) or cron(...)."`
	ScheduleInput       *Literal    `yaml:"scheduleInput" doc:"Parameters of scheduled runs."`
	AlarmEmail          string      `yaml:"alarmEmail" doc:"Email address to notify of failed runs."`
	KMSKey              string      `yaml:"kmsKey" doc:"KMS key that encrypts the state machine, logs and topic."`
	Tags                Map[string] `yaml:"tags" doc:"Tags of all resources."`
}

// onlyFields reports fields that targets of this kind do not have.
func (c *checker) onlyFields(path string, t Target) {
	fields := fieldsOf(reflect.TypeOf(t))
	for _, name := range sortedNames(fields) {
		only, at := fields[name].tag.Get("only"), join(path, name)
		if only != "" && t.Kind != "" && c.written(at) && !slices.Contains(strings.Split(only, "|"), string(t.Kind)) {
			c.report(at, "is allowed only in targets of kind %s, not %s", strings.ReplaceAll(only, "|", " or "), t.Kind)
		}
	}
}
