package trust

import (
	"crypto/ed25519"
	"fmt"
)

// descriptorContext keeps descriptors apart from whatever else a region's key
// signs.
const descriptorContext = "skein descriptor\x00"

// SignDescriptor signs the encoded descriptor of a region with the region's key.
func SignDescriptor(key ed25519.PrivateKey, body []byte) (signature []byte) {
	return ed25519.Sign(key, append([]byte(descriptorContext), body...))
}

// CheckDescriptor reports ErrDescriptor unless the holder of pub has signed body
// as a descriptor. Whether pub is the key of the region is for the caller to
// judge.
func CheckDescriptor(pub ed25519.PublicKey, body, signature []byte) error {
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, append([]byte(descriptorContext), body...), signature) {
		return fmt.Errorf("%w: not signed by its region", ErrDescriptor)
	}
	return nil
}
