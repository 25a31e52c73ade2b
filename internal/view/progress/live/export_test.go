package live

// Write is write.
var Write = write
