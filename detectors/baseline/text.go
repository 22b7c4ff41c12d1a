package baseline

import "encoding/base64"

func appendBase64(b []byte) []byte { return base64.RawStdEncoding.AppendEncode(nil, b) }

func decodeBase64(t []byte) ([]byte, error) { return base64.RawStdEncoding.AppendDecode(nil, t) }
