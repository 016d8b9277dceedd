# openssl: what it lists, known answers, signatures by each kind of key, every cipher and digest there and back, and its benchmark, which runs each
# algorithm in the code that it chooses by the processor.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
openssl version
openssl list -digest-algorithms | sort | sha256sum
openssl list -cipher-algorithms | sort | sha256sum
openssl list -public-key-algorithms | grep -c Name
seq 20000 > data
for digest in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-256 sha3-512 shake256 blake2b512 blake2s256 sm3 ripemd160; do
    openssl dgst -"$digest" data
done
# FIPS 197, appendix C, and RFC 8439, 2.4.2: known answers.
hex() { od -An -tx1 -v | tr -d ' \n'; echo; }
printf '\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff' > block
openssl enc -aes-128-ecb -K 000102030405060708090a0b0c0d0e0f -nopad -in block | hex
openssl enc -aes-256-ecb -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -nopad -in block | hex
printf '%s' "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it." > text
openssl enc -chacha20 -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 01000000000000000000004a00000000 -in text | hex
key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f iv=0f0e0d0c0b0a09080706050403020100
for cipher in aes-128-cbc aes-192-ctr aes-256-ofb aes-256-cfb8 camellia-256-cbc aria-256-ctr des-ede3-cbc chacha20 sm4-cbc; do
    case $cipher in aes-128*|sm4*) k=${key:0:32} v=$iv ;; *192*|*ede3*) k=${key:0:48} v=$iv ;; *) k=$key v=$iv ;; esac
    case $cipher in *ede3*) v=${iv:0:16} ;; esac
    openssl enc -$cipher -K $k -iv $v -in data -out sealed && openssl enc -d -$cipher -K $k -iv $v -in sealed | cmp - data
    echo "$cipher $(sha256sum < sealed | cut -c1-32)"
done
# AES-GCM: the command line has no AEAD, Python's module for TLS has; a session carries data both ways.
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -days 2 2> /dev/null
python3 - <<'P'
import ssl, socket, threading
for suite, version in [("ECDHE-RSA-AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2), ("ECDHE-RSA-AES256-GCM-SHA384", ssl.TLSVersion.TLSv1_2),
                       ("ECDHE-RSA-CHACHA20-POLY1305", ssl.TLSVersion.TLSv1_2), (None, ssl.TLSVersion.TLSv1_3)]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); server.load_cert_chain("cert.pem", "key.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); client.check_hostname = False; client.verify_mode = ssl.CERT_NONE
    for c in (server, client):
        c.minimum_version = c.maximum_version = version
        if suite: c.set_ciphers(suite)
    a, b = socket.socketpair()
    def echo():
        with server.wrap_socket(a, server_side=True) as s:
            n = 0
            while n < 1 << 20:
                part = s.recv(65536); n += len(part); s.sendall(part)
    t = threading.Thread(target=echo); t.start()
    with client.wrap_socket(b) as s:
        data = bytes(i * 7 % 251 for i in range(1 << 20)); got = bytearray()
        for at in range(0, len(data), 8192):
            s.sendall(data[at:at + 8192])
            want = min(at + 8192, len(data))
            while len(got) < want: got += s.recv(65536)
        print(s.cipher()[0], bytes(got) == data)
    t.join()
P
for kind in "RSA -pkeyopt rsa_keygen_bits:2048" "EC -pkeyopt ec_paramgen_curve:P-256" "EC -pkeyopt ec_paramgen_curve:secp521r1" ED25519 ED448 X25519; do
    openssl genpkey -algorithm $kind -out k.pem 2> /dev/null
    openssl pkey -in k.pem -pubout -out p.pem
    case $kind in
        X25519) openssl genpkey -algorithm X25519 -out l.pem; openssl pkey -in l.pem -pubout -out q.pem
                openssl pkeyutl -derive -inkey k.pem -peerkey q.pem -out s1; openssl pkeyutl -derive -inkey l.pem -peerkey p.pem -out s2; cmp s1 s2; echo X25519 agreed ;;
        ED*) openssl pkeyutl -sign -rawin -inkey k.pem -in text -out sig; openssl pkeyutl -verify -rawin -pubin -inkey p.pem -in text -sigfile sig ;;
        *) openssl dgst -sha256 -sign k.pem -out sig data; openssl dgst -sha256 -verify p.pem -signature sig data ;;
    esac
done
# Ends with status 0 and a line for each; how fast is not what is compared.
openssl speed -seconds 1 -bytes 1024 md5 sha1 sha256 sha512 aes-128-cbc aes-256-cbc 2> /dev/null | grep -cE '^(md5|sha1|sha256|sha512|aes-128-cbc|aes-256-cbc) '
openssl speed -seconds 1 -bytes 1024 -evp aes-256-gcm 2> /dev/null | grep -c '^AES-256-GCM '
openssl speed -seconds 1 -bytes 1024 -evp chacha20-poly1305 2> /dev/null | grep -ci '^chacha20-poly1305 '
openssl speed -seconds 1 rsa2048 ecdsap256 ed25519 ecdhx25519 2> /dev/null | grep -cE 'rsa 2048 bits|nistp256|Ed25519|X25519'
