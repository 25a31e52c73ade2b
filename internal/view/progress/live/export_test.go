package live

// Write exports write.
var Write = write
