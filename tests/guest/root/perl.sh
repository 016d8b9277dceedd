# perl: numbers, patterns, processes, files.
exec perl - <<'P'
use strict; use POSIX; use File::Temp 'tempdir';
$| = 1;
my %h = map { $_ => $_ ** 2 } 1 .. 5;
print join(",", map { "$_=$h{$_}" } sort keys %h), "\n";
printf "%.12f %s %s\n", atan2(1, 1) * 4, 2 ** 53, 1 / 3;
(my $t = "The quick brown") =~ s/(\w+)/\u\L$1/g; print "$t\n";
open my $p, "-|", "echo from a pipe"; print <$p>; close $p;
my $pid = fork // die; exit 3 if !$pid; waitpid $pid, 0; print $? >> 8, "\n";
my $d = tempdir(CLEANUP => 1);
open my $f, ">", "$d/x"; print $f "line $_\n" for 1 .. 1000; close $f;
print -s "$d/x", "\n"; rename "$d/x", "$d/y"; print join(",", glob "$d/*") =~ s/\Q$d\E//r, "\n";
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5 }; print $@;
print strftime("%Y-%m-%d", gmtime 1e9), "\n"; print "ok\n" if $0 eq "-";
my @s = sort { $a <=> $b } map { ($_ * 7919) % 1009 } 1 .. 500; print "$s[0] $s[250] $s[-1]\n";
print sprintf("%vd", "1.22.333"), " ", unpack("H*", pack "d", 1.5), "\n";
P
