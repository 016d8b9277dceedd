# ffmpeg: encoders and decoders with their hand-written code for SSE; frames by their checksums.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
f="ffmpeg -nostdin -hide_banner -loglevel error -bitexact ${flags--cpuflags sse4.2}"
v="-f lavfi -i testsrc2=size=320x240:rate=25:duration=1"
a="-f lavfi -i sine=frequency=440:duration=1"
$f $v -c:v libx264 -preset medium -threads 2 -flags +bitexact x264.mkv && $f -i x264.mkv -f framemd5 - | tail -n +9 | md5sum
$f $v -c:v mpeg4 -q:v 4 -flags +bitexact m4.avi && $f -i m4.avi -f framemd5 - | md5sum
$f $v -c:v libvpx-vp9 -b:v 200k -deadline realtime -cpu-used 8 -frames:v 10 -threads 1 vp9.webm && $f -i vp9.webm -f framemd5 - | md5sum
$f $v -vf scale=160:120:flags=bicubic+bitexact+accurate_rnd,hflip,boxblur -pix_fmt rgb24 -f framemd5 - | md5sum
$f $a -c:a flac a.flac && $f -i a.flac -f md5 -
$f $a -c:a aac -b:a 96k -flags +bitexact a.m4a && $f -i a.m4a -f framemd5 - | wc -l
$f $a -af aresample=22050:resampler=swr,volume=0.5 -f md5 -
$f $v -c:v ffv1 -threads 1 f.mkv && $f -i f.mkv -f md5 -
x264 --quiet --threads 1 --frames 8 --input-res 64x64 --fps 25 --demuxer raw -o r.264 <(head -c $((64 * 64 * 3 / 2 * 8)) /dev/zero) 2> /dev/null && md5sum < r.264
