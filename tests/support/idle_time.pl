#!/usr/bin/perl
# Where the idle time of a swarm went: for tests of owners who come and go. Debian's perl is enough.
#   idle_time.pl JOB FROM TO OWNERS NAME=LOG...
# JOB: the first eight digits of the task's id. FROM, TO: seconds since 1970. OWNERS: a file of lines "SECONDS NAME comes|leaves"
# (a node's owner is away until he first comes). LOG: what the node logged with log.level = "debug" and log.format = "json".
# Prints, for each node and all together, the seconds from FROM to TO in which its owner was away, by what the node did:
#   governor   it had not noticed yet that he left          lane, check, validation, merge   at work on it
#   breaking   work that was broken off had not stopped yet
#   lanes      nothing to do: lanes of the open round were missing, and others were at work
#   parked     nothing to do: they were missing, and nobody whose owner is away was at work
#   sum        nothing to do: all lanes were there, the round was not closed
#   mean       nothing to do: the round was closed elsewhere, not here
#   settling   nothing to do: all rounds were closed, checks were not
# The last line says how much of that time was of use: spent on work that came to its end, be it broken off and begun again where
# it stood; of a lane the first two copies count, for the second is what checks the first.
use strict;
use warnings;
use JSON::PP;
use Time::Local;

my ($job, $from, $to, $owners, @nodes) = @ARGV;
die "idle_time.pl JOB FROM TO OWNERS NAME=LOG...\n" unless @nodes && $to > $from;
my @kinds = qw(governor lane check validation merge breaking lanes parked sum mean settling);
my (%away, %may, %work, %applied, %lane_done, $rounds, $lanes);

open(my $in, '<', $owners) or die "$owners: $!\n";
while (<$in>) {
    my ($at, $name, $what) = split ' ';
    push @{$away{$name}}, [$at, $what eq 'leaves' ? 1 : 0];
}
close $in;

sub seconds_of {
    my ($y, $mo, $d, $h, $mi, $s) = $_[0] =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):([\d.]+)Z$/ or die "no time: $_[0]\n";
    return timegm(0, $mi, $h, $d, $mo - 1, $y) + $s;
}
sub earliest { my ($place, $at) = @_; $$place = $at if !defined $$place || $at < $$place }

($rounds, $lanes) = (0, 0);
my %copies;
for my $pair (@nodes) {
    my ($name, $log) = split /=/, $pair, 2;
    open(my $in, '<', $log) or die "$log: $!\n";
    my ($begun, $broken);
    while (<$in>) {
        next unless /^\{/;
        my $line = decode_json($_);
        my ($at, $text) = (seconds_of($line->{time}), $line->{message});
        push @{$may{$name}}, [$at, $1 eq 'idle' ? 1 : 0] if $text =~ /^([a-z_]+): / && $line->{level} eq 'info';
        next unless $text =~ /^job \Q$job\E (begins|breaks off|ends|fails at) (.*)$/;
        my ($verb, $what) = ($1, $2);
        my ($kind) = $what =~ /^(\w+)/;
        my ($round) = $what =~ /of round (\d+)$/;
        my ($lane) = $what =~ /^(?:lane|check) (\d+)/;
        $kind = 'validation' if $what =~ /validation/;
        $kind = 'merge' if $kind =~ /^(sum|part|join|apply|the)$/;
        if ($verb eq 'begins') {
            $begun = [$at, undef, $kind, undef, undef];  # begin, end, kind, broken off, of use
            push @{$work{$name}}, $begun;
        } elsif ($verb eq 'breaks off') {
            $begun->[3] = $at if $begun;
        } elsif ($begun) {
            $begun->[1] = $at;
            if ($verb eq 'ends' && !defined $begun->[3]) {
                $begun->[4] = 1;
                if (defined $lane) {
                    earliest(\$lane_done{$round}{$lane}, $at);
                    push @{$copies{"$round $lane"}}, $begun;
                    $lanes = $lane + 1 if $lane >= $lanes;
                }
                earliest(\$applied{$name}{$round}, $at) if $what =~ /^apply/;
                $rounds = $round + 1 if $what =~ /^apply/ && $round >= $rounds;
            }
            $begun = undef;
        }
    }
}
for my $made (values %copies) {
    my @later = sort { $a->[1] <=> $b->[1] } @$made;
    $_->[4] = 0 for splice(@later, 2);
}
my %closed;
for my $round (0 .. $rounds - 1) {
    for my $name (keys %applied) { earliest(\$closed{$round}, $applied{$name}{$round}) if defined $applied{$name}{$round} }
}

# The value of a list of [when, value] at a moment; the lists are in order of time.
sub value_at {
    my ($list, $at, $value) = @_;
    for my $change (@{$list // []}) {
        last if $change->[0] > $at;
        $value = $change->[1];
    }
    return $value;
}
sub work_at {
    my ($name, $at) = @_;
    for my $w (reverse @{$work{$name} // []}) {
        next if $w->[0] > $at;
        return undef if defined $w->[1] && $w->[1] <= $at;
        return $w;
    }
    return undef;
}

my $step = 0.01;
my (%spent, %all);
my $useful = 0;
for (my $at = $from; $at < $to; $at += $step) {
    my $open = 0;
    ++$open while $open < $rounds && defined $closed{$open} && $closed{$open} <= $at;
    my $missing = 0;
    for my $lane (0 .. $lanes - 1) {
        ++$missing unless defined $lane_done{$open}{$lane} && $lane_done{$open}{$lane} <= $at;
    }
    my (%is_away, %at_work, $running);
    for my $pair (@nodes) {
        my ($name) = split /=/, $pair, 2;
        $is_away{$name} = value_at($away{$name}, $at, 1);
        $at_work{$name} = work_at($name, $at);
        $running = 1 if $is_away{$name} && $at_work{$name} && $at_work{$name}[2] =~ /lane|check/;
    }
    for my $name (keys %is_away) {
        next unless $is_away{$name};
        my $w = $at_work{$name};
        my $what;
        if (!value_at($may{$name}, $at, 0)) { $what = 'governor' }
        elsif ($w) { $what = defined $w->[3] && $w->[3] <= $at ? 'breaking' : $w->[2] }
        elsif ($open >= $rounds) { $what = 'settling' }
        elsif ($open > 0 && !(defined $applied{$name}{$open - 1} && $applied{$name}{$open - 1} <= $at)) { $what = 'mean' }
        elsif ($missing) { $what = $running ? 'lanes' : 'parked' }
        else { $what = 'sum' }
        $spent{$name}{$what} += $step;
        $all{$what} += $step;
        $useful += $step if $w && $w->[4] && $what eq $w->[2];
    }
}
printf "%-10s" . ' %10s' x @kinds . ' %10s' . "\n", 'idle, s', @kinds, 'all';
for my $name (sort(keys %spent), '') {
    my $row = $name eq '' ? \%all : $spent{$name};
    my $sum = 0;
    $sum += $_ for values %$row;
    printf "%-10s" . ' %10.2f' x @kinds . ' %10.2f' . "\n", $name eq '' ? 'all' : $name, (map { $row->{$_} // 0 } @kinds), $sum;
}
my ($one, $two, $more) = (0, 0, 0);
for (map { scalar @$_ } values %copies) { ++($_ == 1 ? $one : $_ == 2 ? $two : $more) }
print "lanes computed once: $one, twice: $two, more often: $more\n";
my $idle = 0;
$idle += $_ for values %all;
printf "of use: %.3f of %.3f s\n", $useful, $idle;
