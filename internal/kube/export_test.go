package kube

// What fuzz targets reach for.
var (
	DecodeEvent    = decodeEvent
	NewStatusError = newStatusError
	Unified        = unified
)
