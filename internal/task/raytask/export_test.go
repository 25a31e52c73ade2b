package raytask

// NotOfRay is notOfRay for tests.
var NotOfRay = notOfRay
